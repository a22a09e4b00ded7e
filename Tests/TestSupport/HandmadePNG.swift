/// Builds PNG files byte by byte, without libpng, as other writers and attackers might.
public struct HandmadePNG {
    public private(set) var bytes: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// The signature alone.
    public init() {}

    /// Colour types of the PNG specification.
    public enum Colour: UInt8 {
        case grey = 0
        case rgb = 2
        case palette = 3
        case greyAlpha = 4
        case rgba = 6
    }

    /// A whole picture; `extra` is put before its pixels.
    public init(
        _ width: Int, _ height: Int, depth: UInt8 = 8, _ colour: Colour, rows: [[UInt8]], extra: [(String, [UInt8])] = []
    ) {
        header(UInt32(width), UInt32(height), depth: depth, colour)
        for (type, data) in extra { chunk(type, data) }
        pixels(rows)
    }

    /// Appends a chunk with its length and checksum.
    public mutating func chunk(_ type: String, _ data: [UInt8]) {
        let body = Array(type.utf8) + data
        bytes += Self.bigEndian(UInt32(data.count)) + body + Self.bigEndian(Self.crc(body))
    }

    /// Appends the chunk that begins every PNG.
    public mutating func header(_ width: UInt32, _ height: UInt32, depth: UInt8, _ colour: Colour, interlaced: Bool = false) {
        let tail: [UInt8] = [depth, colour.rawValue, 0, 0, interlaced ? 1 : 0]
        chunk("IHDR", Self.bigEndian(width) + Self.bigEndian(height) + tail)
    }

    /// `rows` without filter bytes; each gets filter 0.
    public mutating func pixels(_ rows: [[UInt8]]) {
        chunk("IDAT", Self.zlib(rows.flatMap { [0] + $0 }))
        chunk("IEND", [])
    }

    /// One stored deflate block in a zlib stream.
    public static func zlib(_ data: [UInt8]) -> [UInt8] {
        precondition(data.count <= 65_535)
        let length = UInt16(data.count)
        var a: UInt32 = 1
        var b: UInt32 = 0
        for byte in data {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        let head: [UInt8] = [0x78, 0x01, 1, UInt8(length & 255), UInt8(length >> 8), UInt8(~length & 255), UInt8(~length >> 8)]
        return head + data + bigEndian(b << 16 | a)
    }

    /// Four bytes, the highest first.
    public static func bigEndian(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 255), UInt8(value >> 8 & 255), UInt8(value & 255)]
    }

    /// The checksum of a chunk's type and data.
    public static func crc(_ data: [UInt8]) -> UInt32 {
        var crc: UInt32 = .max
        for byte in data {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        return ~crc
    }
}
