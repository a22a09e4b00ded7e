/// Reads users' pictures: PNG, JPEG and WebP. The first bytes tell the format. The bytes may be hostile.
///
/// The decoder turns a picture upright by its EXIF data or its XMP packet. It does not apply colour profiles.
public enum ImageDecoder {
    /// Reads the picture in a file.
    ///
    /// - Throws: `notFound` or `cannotRead` if the file is missing or no regular file, `unsupported` for another format, with
    ///   its name in the message, `tooLarge` beyond the limits, `damaged` if the picture is not whole.
    public static func decode(file path: String, limits: PictureLimits = .standard) throws(ImageFileError) -> DecodedImage {
        try decode(InputFile.read(path, limits: limits), name: path, limits: limits)
    }

    /// Reads the picture in `bytes`. Errors call it `name`.
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
