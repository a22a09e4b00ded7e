import CPNG

/// What a picture from outside may ask for before it is refused. All are checked before memory is taken.
public struct PNGLimits: Sendable, Equatable {
    /// Bytes of the file.
    public var fileBytesMax = 64 << 20
    /// Pixels of one side.
    public var sideMax = 16_384
    /// Pixels of the picture. With the file's size this bounds the time of decoding too.
    public var pixelsMax = 64 << 20
    /// Bytes of the decoded picture.
    public var decodedBytesMax = 512 << 20
    /// Text chunks kept.
    public var chunksMax = 64
    /// Bytes of one text chunk, after decompression.
    public var chunkBytesMax = 1 << 20

    public static let standard = PNGLimits()
}

/// A decoded picture.
public struct DecodedImage: Sendable, Equatable {
    public let width: Int
    public let height: Int
    /// 3 (RGB) or 4 (RGBA).
    public let channels: Int
    /// `height` rows of `width` pixels of `channels` bytes, from the top left.
    public let pixels: [UInt8]
    /// In the order of the file.
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
}

/// Reads PNG files of every kind as 8-bit RGB or RGBA. The bytes may be hostile.
public enum PNGDecoder {
    /// Reads the picture in a file.
    ///
    /// - Throws: `notFound` or `cannotRead` when the file is missing or no regular file, `tooLarge` beyond the limits,
    ///   `damaged` when it is no whole PNG.
    public static func decode(file path: String, limits: PNGLimits = .standard) throws(ImageFileError) -> DecodedImage {
        let bytes = try InputFile.read(path, bytesMax: limits.fileBytesMax)
        return try decode(bytes, name: path, limits: limits)
    }

    /// Reads the picture in `bytes`; `name` is how errors call it.
    public static func decode(
        _ bytes: [UInt8], name: String = "The picture", limits: PNGLimits = .standard
    ) throws(ImageFileError) -> DecodedImage {
        guard bytes.count <= limits.fileBytesMax else {
            throw ImageFileError(
                .tooLarge, "\(name) has \(bytes.count) bytes, more than the \(limits.fileBytesMax) that are read.")
        }
        return try bytes.withUnsafeBufferPointer { buffer throws(ImageFileError) in
            try decode(buffer, name: name, limits: limits)
        }
    }

    private static func decode(
        _ bytes: UnsafeBufferPointer<UInt8>, name: String, limits: PNGLimits
    ) throws(ImageFileError) -> DecodedImage {
        var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE_SIZE))
        let caps = cpng_limits(
            max_side: UInt32(clamping: limits.sideMax), max_chunks: UInt32(clamping: limits.chunksMax),
            max_chunk_memory: limits.chunkBytesMax)
        guard let start = bytes.baseAddress, let reader = cpng_reader_open(start, bytes.count, caps, &message) else {
            throw ImageFileError(.damaged, "\(name) is not a PNG that can be read: \(reason(message)).")
        }
        defer { cpng_reader_close(reader) }
        let width = Int(cpng_reader_width(reader))
        let height = Int(cpng_reader_height(reader))
        let channels = Int(cpng_reader_channels(reader))
        let size = try checkedSize(width: width, height: height, channels: channels, name: name, limits: limits)
        var status: Int32 = 0
        let pixels = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            // A failed read leaves rows unwritten; they are never seen, because the failure is thrown below.
            buffer.initialize(repeating: 0)
            status = cpng_reader_pixels(reader, buffer.baseAddress, size, &message)
            count = size
        }
        guard status == 0 else {
            throw ImageFileError(.damaged, "\(name) is damaged: \(reason(message)).")
        }
        return DecodedImage(width: width, height: height, channels: channels, pixels: pixels, text: texts(reader))
    }

    private static func checkedSize(
        width: Int, height: Int, channels: Int, name: String, limits: PNGLimits
    ) throws(ImageFileError) -> Int {
        let pixels = width.multipliedReportingOverflow(by: height)
        let bytes = pixels.partialValue.multipliedReportingOverflow(by: channels)
        guard !pixels.overflow, !bytes.overflow, pixels.partialValue <= limits.pixelsMax,
            bytes.partialValue <= limits.decodedBytesMax
        else {
            throw ImageFileError(
                .tooLarge,
                "\(name) is \(width)x\(height), more than the \(limits.pixelsMax) pixels that are read; scale it down.")
        }
        return bytes.partialValue
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
        let text = text(message)
        return text.isEmpty ? "it is empty" : text
    }

    /// The zero-terminated text in a C buffer.
    static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
