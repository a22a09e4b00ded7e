/// The limits for a picture from outside. All are checked before memory is taken.
public struct PictureLimits: Sendable, Equatable {
    /// Bytes of the file.
    public var fileBytesMax = 64 << 20
    /// Pixels of one side.
    public var sideMax = 16_384
    /// Pixels of the picture. Together with the file's size, and the passes of a JPEG below, this limits the time of decoding
    /// too.
    public var pixelsMax = 64 << 20
    /// Bytes of the decoded picture.
    public var decodedBytesMax = 512 << 20
    /// Text chunks of a PNG that are kept.
    public var chunksMax = 64
    /// Bytes of one text chunk, after decompression.
    public var chunkBytesMax = 1 << 20
    /// Passes over the pixels of a JPEG. Progressive files have about ten, but a small file can ask for very many.
    public var scansMax = 500
    /// Passes times pixels of a JPEG with more than twenty passes: a second or so of one core.
    public var scannedPixelsMax = 1 << 31

    public static let standard = PictureLimits()
}

extension PictureLimits {
    func checkFile(bytes: Int, name: String) throws(ImageFileError) {
        guard bytes <= fileBytesMax else {
            throw ImageFileError(
                .tooLarge, "\(name) has \(bytes) bytes, and at most \(fileBytesMax) are read; scale the picture down.")
        }
    }

    /// The largest number of passes for a JPEG with this number of pixels.
    func scans(pixels: Int) -> Int { min(scansMax, max(20, scannedPixelsMax / max(1, pixels))) }

    /// The bytes of a decoded picture, from the size in its header.
    func decodedBytes(width: Int, height: Int, channels: Int, name: String) throws(ImageFileError) -> Int {
        let pixels = width.multipliedReportingOverflow(by: height)
        let bytes = pixels.partialValue.multipliedReportingOverflow(by: channels)
        guard width <= sideMax, height <= sideMax else {
            throw ImageFileError(
                .tooLarge, "\(name) is \(width)x\(height), and at most \(sideMax) pixels a side are read; scale it down.")
        }
        guard !pixels.overflow, !bytes.overflow, pixels.partialValue <= pixelsMax, bytes.partialValue <= decodedBytesMax else {
            throw ImageFileError(
                .tooLarge, "\(name) is \(width)x\(height), more than the \(pixelsMax) pixels that are read; scale it down.")
        }
        return bytes.partialValue
    }
}
