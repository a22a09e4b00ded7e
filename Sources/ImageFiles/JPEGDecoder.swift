import CJPEG

/// Reads JPEG files of 8 bits a sample as RGB: sequential and progressive, with Huffman and with arithmetic coding, grey,
/// YCbCr, RGB, CMYK and YCCK. The same bytes give the same pixels: exact integer DCT and smooth upsampling of colours, as in
/// Pillow.
enum JPEGDecoder {
    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PictureLimits
    ) throws(ImageFileError) -> DecodedImage {
        let reader = cjpeg_reader_open(bytes.baseAddress, bytes.count)
        defer { cjpeg_reader_close(reader) }
        try check(reader, name)
        let (width, height) = (Int(cjpeg_reader_width(reader)), Int(cjpeg_reader_height(reader)))
        let size = try limits.decodedBytes(width: width, height: height, channels: 3, name: name)
        let (exif, xmp) = metadata(reader)
        let scansMax = Int32(clamping: limits.scans(pixels: width * height))
        let pixels = StoredPicture.pixels(bytes: size) { cjpeg_reader_pixels(reader, $0, size, scansMax) }
        try check(reader, name)
        return DecodedImage(
            stored: StoredPicture(width: width, height: height, channels: 3, pixels: pixels, exif: exif, xmp: xmp))
    }

    /// EXIF data, and the last XMP packet, as in Pillow. Long EXIF data continue in the next marker.
    private static func metadata(_ reader: OpaquePointer?) -> (exif: [UInt8], xmp: [UInt8]) {
        let exifMark = Array("Exif\0\0".utf8)
        let xmpMark = Array("http://ns.adobe.com/xap/1.0/\0".utf8)
        var exif: [UInt8] = []
        var xmp: [UInt8] = []
        var start: UnsafePointer<UInt8>?
        var length = 0
        while cjpeg_reader_next_app1(reader, &start, &length) != 0 {
            let content = UnsafeBufferPointer(start: start, count: length)
            if content.starts(with: exifMark) { exif += content.dropFirst(exifMark.count) }
            if content.starts(with: xmpMark) { xmp = Array(content.dropFirst(xmpMark.count)) }
        }
        return (exif, xmp)
    }

    /// Throws the problem that the last call left, if there is one.
    private static func check(_ reader: OpaquePointer?, _ name: String) throws(ImageFileError) {
        var message: UnsafePointer<CChar>?
        let problem = cjpeg_reader_problem(reader, &message)
        let reason = message.map { String(cString: $0) } ?? ""
        switch problem {
        case CJPEG_NONE: return
        case CJPEG_UNSUPPORTED:
            throw ImageFileError(
                .unsupported, "\(name) is a kind of JPEG that is not read: \(reason); save the picture as a PNG.")
        case CJPEG_TOO_MANY_SCANS:
            throw ImageFileError(.tooLarge, "\(name) is a JPEG with \(reason), which is refused; save the picture as a PNG.")
        default: throw ImageFileError(.damaged, "\(name) is a damaged JPEG: \(reason); get or make the file again.")
        }
    }
}
