import CWebP

/// Reads WebP files of one picture, lossy and lossless, with and without alpha channel.
enum WebPDecoder {
    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PictureLimits
    ) throws(ImageFileError) -> DecodedImage {
        var reader: OpaquePointer?
        let problem = cwebp_reader_open(bytes.baseAddress, bytes.count, &reader)
        defer { cwebp_reader_close(reader) }
        try check(problem, name)
        guard cwebp_reader_is_animated(reader) == 0 else {
            throw ImageFileError(
                .unsupported, "\(name) is an animated WebP, which is not read; save one of its pictures as a PNG.")
        }
        let (width, height) = (Int(cwebp_reader_width(reader)), Int(cwebp_reader_height(reader)))
        let channels = Int(cwebp_reader_channels(reader))
        let size = try limits.decodedBytes(width: width, height: height, channels: channels, name: name)
        var failure: UnsafePointer<CChar>?
        let pixels = StoredPicture.pixels(bytes: size) { failure = cwebp_reader_pixels(reader, $0, size) }
        try check(failure, name)
        return DecodedImage(
            stored: StoredPicture(
                width: width, height: height, channels: channels, pixels: pixels, exif: chunk("EXIF", reader),
                xmp: chunk("XMP ", reader)))
    }

    private static func chunk(_ name: String, _ reader: OpaquePointer?) -> [UInt8] {
        var start: UnsafePointer<UInt8>?
        var length = 0
        cwebp_reader_chunk(reader, name, &start, &length)
        return Array(UnsafeBufferPointer(start: start, count: length))
    }

    private static func check(_ problem: UnsafePointer<CChar>?, _ name: String) throws(ImageFileError) {
        guard let problem else { return }
        throw ImageFileError(.damaged, "\(name) is a damaged WebP: \(String(cString: problem)); get or make the file again.")
    }
}
