/// The orientation in EXIF data: tag 0x0112 in the first directory of a TIFF structure (TIFF 6.0, section 2). The data may be
/// hostile.
enum EXIFOrientation {
    /// The orientation of the data; nil if they have none. A value that is no orientation counts as upright, and then no other
    /// source is asked.
    ///
    /// The standard demands one SHORT. Writers use other types too, and Pillow takes every type of numbers but BYTE.
    static func read(_ exif: [UInt8]) -> Orientation? {
        guard let tiff = TIFFBytes(exif), let directory = tiff.number(at: 4, bytes: 4),
            let count = tiff.number(at: directory, bytes: 2)
        else { return nil }
        for entry in 0..<count {
            let place = directory + 2 + 12 * entry
            guard let tag = tiff.number(at: place, bytes: 2) else { return nil }
            guard tag == 0x0112, let field = TIFFField(tiff, entry: place) else { continue }
            return field.number(tiff).flatMap(Orientation.init) ?? .upright
        }
        return nil
    }

    /// The bytes in a PNG text `Raw profile type exif`, as ImageMagick writes it: a line end, the kind, the length, then
    /// lines of hexadecimal digits. Empty for anything else.
    static func bytes(ofRawProfile text: String) -> [UInt8] {
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), maxSplits: 3, omittingEmptySubsequences: false)
        guard lines.count == 4 else { return [] }
        let characters = lines[3].filter { !$0.isSpace }
        let digits = characters.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count == characters.count, digits.count % 2 == 0 else { return [] }
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

/// The place of a directory entry's data, all of them inside the file's data.
private struct TIFFField {
    private let type: Int
    private let place: Int

    /// The bytes of one value, by type.
    private static let sizes = [1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8]

    init?(_ tiff: TIFFBytes, entry: Int) {
        guard let type = tiff.number(at: entry + 2, bytes: 2), let size = Self.sizes[type],
            let count = tiff.number(at: entry + 4, bytes: 4), count > 0
        else { return nil }
        // An entry holds data of up to four bytes itself.
        guard let place = size * count <= 4 ? entry + 8 : tiff.number(at: entry + 8, bytes: 4),
            tiff.holds(size * count, at: place)
        else { return nil }
        (self.type, self.place) = (type, place)
    }

    /// The first value; nil if it is no whole number or too large. A negative number becomes a large one here.
    func number(_ tiff: TIFFBytes) -> Int? {
        switch type {
        case 6: return tiff.number(at: place, bytes: 1)
        case 3, 8: return tiff.number(at: place, bytes: 2)
        case 4, 9, 13: return tiff.number(at: place, bytes: 4)
        case 16: return tiff.number(at: place, bytes: 8)
        case 5, 10:
            guard let above = tiff.number(at: place, bytes: 4), let below = tiff.number(at: place + 4, bytes: 4), below > 0,
                above % below == 0
            else { return nil }
            return above / below
        case 11:
            return tiff.number(at: place, bytes: 4).flatMap { Int(exactly: Float(bitPattern: UInt32(truncatingIfNeeded: $0))) }
        case 12:
            return tiff.number(at: place, bytes: 8).flatMap { Int(exactly: Double(bitPattern: UInt64(truncatingIfNeeded: $0))) }
        default: return nil
        }
    }
}

/// Numbers in a TIFF structure. The structure itself says its byte order.
private struct TIFFBytes {
    private let bytes: ArraySlice<UInt8>
    private let isBigEndian: Bool

    /// Reads the beginning of TIFF data; nil for other data. JPEG puts a mark before TIFF data, and other formats may have it
    /// too.
    init?(_ exif: [UInt8]) {
        let mark = Array("Exif\0\0".utf8)
        bytes = exif.starts(with: mark) ? exif.dropFirst(mark.count) : exif[...]
        if bytes.starts(with: [0x49, 0x49, 42, 0]) {
            isBigEndian = false
        } else if bytes.starts(with: [0x4D, 0x4D, 0, 42]) {
            isBigEndian = true
        } else {
            return nil
        }
    }

    /// Whether this number of bytes exists at an offset from the TIFF header.
    func holds(_ count: Int, at offset: Int) -> Bool { offset >= 0 && offset <= bytes.count - count }

    /// The unsigned number at an offset from the TIFF header; nil if it is not inside the data. The highest bit of eight
    /// bytes makes it negative.
    func number(at offset: Int, bytes count: Int) -> Int? {
        guard holds(count, at: offset) else { return nil }
        let digits = bytes.dropFirst(offset).prefix(count)
        return isBigEndian ? digits.reduce(0) { $0 << 8 | Int($1) } : digits.reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}
