/// Reads the pictures of users: PNG, JPEG and WebP, recognised by their first bytes. The bytes may be hostile.
///
/// A picture is turned upright as its EXIF data or its XMP packet say. Colour profiles are not applied.
public enum ImageDecoder {
    /// Reads the picture in a file.
    ///
    /// - Throws: `notFound` or `cannotRead` when the file is missing or no regular file, `unsupported` for another format,
    ///   which the message names, `tooLarge` beyond the limits, `damaged` when the picture is not whole.
    public static func decode(file path: String, limits: PictureLimits = .standard) throws(ImageFileError) -> DecodedImage {
        // A file that is no picture is named before its size is judged: checkpoints are larger than any picture.
        let bytes = try InputFile.read(path, limits: limits) { head throws(ImageFileError) in
            _ = try PictureFormat(of: head, name: path)
        }
        return try decode(bytes, name: path, limits: limits)
    }

    /// Reads the picture in `bytes`; `name` is how errors call it.
    public static func decode(
        _ bytes: [UInt8], name: String = "The picture", limits: PictureLimits = .standard
    ) throws(ImageFileError) -> DecodedImage {
        let format = try PictureFormat(of: bytes.prefix(PictureFormat.headBytes), name: name)
        try limits.checkFile(bytes: bytes.count, name: name)
        return try bytes.withUnsafeBufferPointer { buffer throws(ImageFileError) in
            switch format {
            case .png: try PNGDecoder.decode(buffer, name: name, limits: limits)
            case .jpeg: try JPEGDecoder.decode(buffer, name: name, limits: limits)
            case .webp: try WebPDecoder.decode(buffer, name: name, limits: limits)
            }
        }
    }
}
