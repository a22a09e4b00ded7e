import CPNG
import Glibc

/// Reads PNG files of every kind as 8-bit RGB or RGBA.
enum PNGDecoder {
    static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PictureLimits
    ) throws(ImageFileError) -> DecodedImage {
        let caps = cpng_limits(max_chunks: UInt32(clamping: limits.chunksMax), max_chunk_memory: limits.chunkBytesMax)
        let reader = cpng_reader_open(bytes.baseAddress, bytes.count, caps)
        defer { cpng_reader_close(reader) }
        if let problem = cpng_reader_problem(reader) {
            throw ImageFileError(
                .damaged, "\(name) is not a PNG that can be read: \(String(cString: problem)); get or make the file again.")
        }
        let (width, height) = (Int(cpng_reader_width(reader)), Int(cpng_reader_height(reader)))
        let channels = Int(cpng_reader_channels(reader))
        let size = try limits.decodedBytes(width: width, height: height, channels: channels, name: name)
        let pixels = StoredPicture.pixels(bytes: size) { cpng_reader_pixels(reader, $0, size) }
        if let problem = cpng_reader_problem(reader) {
            throw ImageFileError(
                .damaged, "\(name) is a damaged PNG: \(String(cString: problem)); get or make the file again.")
        }
        let texts = texts(reader)
        let stored = StoredPicture(
            width: width, height: height, channels: channels, pixels: pixels, exif: exif(reader, texts),
            xmp: Array((last("XML:com.adobe.xmp", texts) ?? "").utf8))
        return DecodedImage(stored: stored, text: texts)
    }

    /// The content of the `eXIf` chunk. If there is none, the text in which older programs keep EXIF data.
    private static func exif(_ reader: OpaquePointer?, _ texts: [PNGText]) -> [UInt8] {
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

    private static func texts(_ reader: OpaquePointer?) -> [PNGText] {
        var texts: [PNGText] = []
        var text = cpng_text()
        while cpng_reader_text(reader, texts.count, &text) != 0 {
            let value = UnsafeRawBufferPointer(start: text.value, count: text.length)
            texts.append(
                PNGText(
                    keyword: latin1(UnsafeRawBufferPointer(start: text.keyword, count: strlen(text.keyword))),
                    // Bytes that are no UTF-8 show as U+FFFD: a broken comment must not keep anyone from the pixels.
                    value: text.is_utf8 != 0 ? String(decoding: value, as: UTF8.self) : latin1(value)))
        }
        return texts
    }

    private static func latin1(_ bytes: UnsafeRawBufferPointer) -> String {
        String(String.UnicodeScalarView(bytes.lazy.map { Unicode.Scalar($0) }))
    }
}
