import CPNG

/// Reads PNG files of every kind as 8-bit RGB or RGBA. The bytes may be hostile.
public enum PNGDecoder {
    /// Reads one of Patchloom's own PNG files. `ImageDecoder` reads users' files.
    ///
    /// - Throws: `notFound` or `cannotRead` if the file is missing or no regular file, `tooLarge` beyond the limits,
    ///   `damaged` if it is no whole PNG.
    public static func decode(file path: String, limits: PictureLimits = .standard) throws(ImageFileError) -> DecodedImage {
        let bytes = try InputFile.read(path, limits: limits) { _ in }
        return try decode(bytes, name: path, limits: limits)
    }

    /// Reads the PNG in `bytes`. Errors call it `name`.
    public static func decode(
        _ bytes: [UInt8], name: String = "The picture", limits: PictureLimits = .standard
    ) throws(ImageFileError) -> DecodedImage {
        try limits.checkFile(bytes: bytes.count, name: name)
        return try bytes.withUnsafeBufferPointer { buffer throws(ImageFileError) in
            try decode(buffer, name: name, limits: limits)
        }
    }

    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PictureLimits
    ) throws(ImageFileError) -> DecodedImage {
        var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE_SIZE))
        let caps = cpng_limits(max_chunks: UInt32(clamping: limits.chunksMax), max_chunk_memory: limits.chunkBytesMax)
        guard let start = bytes.baseAddress, let reader = cpng_reader_open(start, bytes.count, caps, &message) else {
            throw ImageFileError(
                .damaged, "\(name) is not a PNG that can be read: \(reason(message)); get or make the file again.")
        }
        defer { cpng_reader_close(reader) }
        let width = Int(cpng_reader_width(reader))
        let height = Int(cpng_reader_height(reader))
        let channels = Int(cpng_reader_channels(reader))
        let size = try limits.decodedBytes(width: width, height: height, channels: channels, name: name)
        let read = StoredPicture.pixels(bytes: size) {
            cpng_reader_pixels(reader, $0, size, &message)
        }
        guard let pixels = read else {
            throw ImageFileError(.damaged, "\(name) is a damaged PNG: \(reason(message)); get or make the file again.")
        }
        let texts = texts(reader)
        let stored = StoredPicture(
            width: width, height: height, channels: channels, pixels: pixels, exif: exif(reader, texts),
            xmp: Array((last("XML:com.adobe.xmp", texts) ?? "").utf8))
        return DecodedImage(stored: stored, text: texts)
    }

    /// The content of the `eXIf` chunk. If there is none, the text in which older programs keep EXIF data.
    private static func exif(_ reader: OpaquePointer, _ texts: [PNGText]) -> [UInt8] {
        var start: UnsafePointer<UInt8>?
        var length = 0
        cpng_reader_exif(reader, &start, &length)
        guard length == 0 else { return Array(UnsafeBufferPointer(start: start, count: length)) }
        return last("Raw profile type exif", texts).map(EXIFOrientation.bytes(ofRawProfile:)) ?? []
    }

    /// The value of the last text with this keyword. If there are several, the last counts, as in Pillow.
    private static func last(_ keyword: String, _ texts: [PNGText]) -> String? {
        texts.last { $0.keyword == keyword }?.value
    }

    private static func texts(_ reader: OpaquePointer) -> [PNGText] {
        (0..<cpng_reader_text_count(reader)).compactMap { index in
            var keyword: UnsafePointer<CChar>?
            var value: UnsafePointer<CChar>?
            var length = 0
            var isUTF8: Int32 = 0
            cpng_reader_text(reader, index, &keyword, &value, &length, &isUTF8)
            guard let keyword, let value else { return nil }
            let bytes = UnsafeRawBufferPointer(start: value, count: length)
            // Bytes that are no UTF-8 show as U+FFFD: a broken comment must not keep anyone from the pixels.
            let string = isUTF8 == 1 ? String(decoding: bytes, as: UTF8.self) : latin1(bytes)
            return PNGText(keyword: latin1(UnsafeRawBufferPointer(start: keyword, count: stringLength(keyword))), value: string)
        }
    }

    private static func latin1(_ bytes: UnsafeRawBufferPointer) -> String {
        var string = String.UnicodeScalarView()
        for byte in bytes { string.append(Unicode.Scalar(byte)) }
        return String(string)
    }

    private static func stringLength(_ string: UnsafePointer<CChar>) -> Int {
        var length = 0
        while string[length] != 0 { length += 1 }
        return length
    }

    private static func reason(_ message: [CChar]) -> String {
        let text = CMessage.text(message)
        return text.isEmpty ? "it is empty" : text
    }
}
