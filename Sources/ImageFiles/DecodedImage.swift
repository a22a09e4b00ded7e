/// A decoded picture, upright.
public struct DecodedImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    /// 3 (RGB) or 4 (RGBA, not premultiplied).
    public let channels: Int
    /// `height` rows of `width` pixels of `channels` bytes, from the top left.
    public let pixels: [UInt8]
    /// The texts of a PNG in the order of the file; empty for other formats.
    public let text: [PNGText]

    /// The pixels without their alpha channel: `height` rows of `width` pixels of 3 bytes.
    public var rgb: [UInt8] {
        guard channels == 4 else { return pixels }
        var rgb: [UInt8] = []
        rgb.reserveCapacity(width * height * 3)
        for pixel in stride(from: 0, to: pixels.count, by: 4) { rgb.append(contentsOf: pixels[pixel..<pixel + 3]) }
        return rgb
    }

    /// The value of the first text with this keyword.
    public func text(_ keyword: String) -> String? { text.first { $0.keyword == keyword }?.value }

    /// Turns a picture upright from the order in its file.
    init(stored: StoredPicture, text: [PNGText] = []) {
        let orientation = Orientation(exif: stored.exif, xmp: stored.xmp)
        let size = orientation.swapsSides ? (stored.height, stored.width) : (stored.width, stored.height)
        (width, height) = size
        channels = stored.channels
        pixels = orientation.upright(stored)
        self.text = text
    }
}

/// The pixels of a file in the file's own order, and its EXIF and XMP data.
struct StoredPicture {
    let width: Int
    let height: Int
    let channels: Int
    let pixels: [UInt8]
    /// Empty if the file has none.
    let exif: [UInt8]
    /// Empty if the file has none.
    let xmp: [UInt8]

    /// The pixels that a C reader writes: `size` bytes. It leaves out rows that it cannot read; they are zero.
    static func pixels(bytes size: Int, _ read: (UnsafeMutablePointer<UInt8>?) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            // Swift needs every element to be written, also of rows that the reader leaves out.
            buffer.initialize(repeating: 0)
            read(buffer.baseAddress)
            count = size
        }
    }
}
