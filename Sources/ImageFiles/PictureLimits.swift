/// What a picture from outside may ask for before it is refused. All are checked before memory is taken.
public struct PictureLimits: Sendable, Equatable {
    /// Bytes of the file.
    public var fileBytesMax = 64 << 20
    /// Pixels of one side.
    public var sideMax = 16_384
    /// Pixels of the picture. With the file's size, and for JPEG the passes below, this bounds the time of decoding too.
    public var pixelsMax = 64 << 20
    /// Bytes of the decoded picture.
    public var decodedBytesMax = 512 << 20
    /// Text chunks kept of a PNG.
    public var chunksMax = 64
    /// Bytes of one text chunk, after decompression.
    public var chunkBytesMax = 1 << 20
    /// Passes over the pixels of a JPEG. Progressive files have about ten; a small file can ask for very many.
    public var scansMax = 500
    /// Passes times pixels of a JPEG that has more than twenty passes: a second or so of one core.
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

    /// How many passes a JPEG of so many pixels may have.
    func scans(pixels: Int) -> Int { min(scansMax, max(20, scannedPixelsMax / max(1, pixels))) }

    /// The bytes of a decoded picture, from the size that its header says.
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
