import CWebP

/// Reads WebP files of one picture, lossy and lossless, with and without alpha channel.
enum WebPDecoder {
    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PictureLimits
    ) throws(ImageFileError) -> DecodedImage {
        var message = [CChar](repeating: 0, count: Int(CWEBP_MESSAGE_SIZE))
        guard let reader = cwebp_reader_open(bytes.baseAddress, bytes.count, &message) else {
            throw damaged(message, name)
        }
        defer { cwebp_reader_close(reader) }
        guard cwebp_reader_is_animated(reader) == 0 else {
            throw ImageFileError(
                .unsupported, "\(name) is an animated WebP, which is not read; save one of its pictures as a PNG.")
        }
        let (width, height) = (Int(cwebp_reader_width(reader)), Int(cwebp_reader_height(reader)))
        let channels = Int(cwebp_reader_channels(reader))
        let size = try limits.decodedBytes(width: width, height: height, channels: channels, name: name)
        let read = StoredPicture.pixels(bytes: size) {
            cwebp_reader_pixels(reader, $0, size, &message)
        }
        guard let pixels = read else { throw damaged(message, name) }
        return DecodedImage(
            stored: StoredPicture(
                width: width, height: height, channels: channels, pixels: pixels, exif: chunk("EXIF", reader),
                xmp: chunk("XMP ", reader)))
    }

    private static func chunk(_ name: String, _ reader: OpaquePointer) -> [UInt8] {
        var start: UnsafePointer<UInt8>?
        var length = 0
        cwebp_reader_chunk(reader, name, &start, &length)
        return Array(UnsafeBufferPointer(start: start, count: length))
    }

    private static func damaged(_ message: [CChar], _ name: String) -> ImageFileError {
        ImageFileError(.damaged, "\(name) is a damaged WebP: \(CMessage.text(message)); get or make the file again.")
    }
}
