public import Foundation

/// The committed pictures of several formats, and changes of their bytes.
public enum SamplePictures {
    /// The folder of the pictures. `Fixtures/README.md` describes its files.
    public static var folder: URL { Fixtures.folder.appendingPathComponent("pictures") }

    public static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

    public static func bytes(_ name: String) throws -> [UInt8] {
        Array(try Data(contentsOf: folder.appendingPathComponent(name)))
    }

    /// EXIF data of one directory with one entry, the orientation (TIFF 6.0, 4.6).
    public static func exif(orientation: UInt16, bigEndian: Bool = true) -> [UInt8] {
        exif(type: 3, count: 1, value: orientation, bigEndian: bigEndian)
    }

    /// The same with another type or count of the entry.
    public static func exif(type: UInt16, count: UInt32, value: UInt16, bigEndian: Bool = true) -> [UInt8] {
        func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
            let bytes = little(Int(value), T.bitWidth / 8)
            return bigEndian ? bytes.reversed() : bytes
        }
        var bytes = Array((bigEndian ? "MM" : "II").utf8) + number(UInt16(42)) + number(UInt32(8)) + number(UInt16(1))
        bytes += number(UInt16(0x0112)) + number(type) + number(count) + number(value)
        return bytes + [0, 0] + number(UInt32(0))
    }

    /// The same with the bytes of its value, the highest first. Without `bigEndian` each number of `width` bytes is
    /// reversed. More than four bytes lie behind the directory.
    public static func exif(type: UInt16, count: UInt32, data: [UInt8], width: Int, bigEndian: Bool = true) -> [UInt8] {
        func ordered(_ bytes: [UInt8]) -> [UInt8] {
            bigEndian ? bytes : stride(from: 0, to: bytes.count, by: width).flatMap { bytes[$0..<$0 + width].reversed() }
        }
        let head = exif(type: type, count: count, value: 0, bigEndian: bigEndian)
        let place: [UInt8] = bigEndian ? [0, 0, 0, 26] : [26, 0, 0, 0]
        let isInside = data.count <= 4
        let value = isInside ? ordered(data) + [UInt8](repeating: 0, count: 4 - data.count) : place
        return head[..<18] + value + head[22...] + (isInside ? [] : ordered(data))
    }

    /// The mark of the APP1 marker that holds an XMP packet.
    public static let xmpMark = Array("http://ns.adobe.com/xap/1.0/\0".utf8)

    /// The PNG chunk that holds an XMP packet.
    public static func xmpChunk(_ packet: [UInt8]) -> (String, [UInt8]) {
        ("iTXt", Array("XML:com.adobe.xmp".utf8) + [0, 0, 0, 0, 0] + packet)
    }

    /// A JPEG with an APP1 marker behind its beginning.
    public static func jpeg(_ jpeg: [UInt8], exif: [UInt8], mark: [UInt8] = Array("Exif\0\0".utf8)) -> [UInt8] {
        let length = UInt16(2 + mark.count + exif.count)
        let marker: [UInt8] = [0xFF, 0xE1, UInt8(length >> 8), UInt8(length & 255)] + mark + exif
        return Array(jpeg[..<2]) + marker + jpeg[2...]
    }

    /// A PNG with an `eXIf` chunk behind its header, or before its end.
    public static func png(_ png: [UInt8], exif: [UInt8], atEnd: Bool = false) -> [UInt8] {
        var chunk = HandmadePNG()
        chunk.chunk("eXIf", exif)
        let place = atEnd ? png.count - 12 : 33
        return Array(png[..<place]) + chunk.bytes.dropFirst(8) + png[place...]
    }

    /// A WebP in the extended form with a chunk of EXIF data and one of XMP, where these are given. `webp` is of the simple
    /// form.
    public static func webp(_ webp: [UInt8], width: Int, height: Int, exif: [UInt8]?, xmp: [UInt8]? = nil) -> [UInt8] {
        var body = Array("WEBPVP8X".utf8) + little(10, 4)
        body += [(exif == nil ? 0 : 0x08) | (xmp == nil ? 0 : 0x04), 0, 0, 0]
        body += little(width - 1, 3) + little(height - 1, 3)
        body += webp[12...]
        for (kind, content) in [("EXIF", exif), ("XMP ", xmp)] {
            guard let content else { continue }
            body += Array(kind.utf8) + little(content.count, 4) + content
            if content.count % 2 == 1 { body.append(0) }
        }
        return Array("RIFF".utf8) + little(body.count, 4) + body
    }

    private static func little(_ value: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }
}
