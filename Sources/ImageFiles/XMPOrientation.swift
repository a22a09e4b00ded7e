import Glibc

/// The orientation in an XMP packet: `tiff:Orientation` as an attribute or as an element. The packet may be hostile.
///
/// It searches the packet without parsing it, as Pillow does. Writers use the prefix `tiff`, which the XMP specification
/// prefers. So a picture is never lost because of its XML.
enum XMPOrientation {
    /// The orientation of the packet; nil if it has none. The first one counts. A digit that is no orientation counts as
    /// upright.
    static func read(_ packet: [UInt8]) -> Orientation? {
        let name = Array("tiff:Orientation".utf8)
        return packet.withUnsafeBytes { packet in
            var start = 0
            while let place = find(name, in: packet, from: start) {
                start = place + name.count
                let before = place > 0 ? packet[place - 1] : 0
                if let digit = XMLBytes(bytes: packet, place: start).digit(before: before) {
                    return Orientation(rawValue: digit) ?? .upright
                }
            }
            return nil
        }
    }

    private static func find(_ name: [UInt8], in packet: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = packet.baseAddress, start + name.count <= packet.count else { return nil }
        return (start...packet.count - name.count).first { place in
            packet[place] == name[0] && memcmp(base + place, name, name.count) == 0
        }
    }
}

/// Reads forward in XML from one place.
private struct XMLBytes {
    let bytes: UnsafeRawBufferPointer
    var place: Int

    /// The single digit that is the value of a name. This place is behind the name; `before` is the byte in front of it.
    func digit(before: UInt8) -> Int? {
        var rest = self
        let next = rest.next()
        let end: UInt8
        if before.isSpace, next == UInt8(ascii: "="), let quote = rest.next(), "\"'".utf8.contains(quote) {
            end = quote
        } else if before == UInt8(ascii: "<"), next == UInt8(ascii: ">") {
            end = UInt8(ascii: "<")
        } else {
            return nil
        }
        guard let digit = rest.next(), (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit), rest.next() == end else {
            return nil
        }
        return Int(digit - UInt8(ascii: "0"))
    }

    /// The next byte that is no white space.
    private mutating func next() -> UInt8? {
        while place < bytes.count {
            let byte = bytes[place]
            place += 1
            if !byte.isSpace { return byte }
        }
        return nil
    }
}

extension UInt8 {
    /// Whether the byte is XML's white space.
    var isSpace: Bool { self == 32 || self == 9 || self == 10 || self == 13 }
}
