import CPNG

/// Writes pictures as PNG.
public enum PNGEncoder {
    /// The longest side of a picture, equal to the reader's limit.
    public static let sideMax = PictureLimits.standard.sideMax

    /// Encodes 8-bit RGB pixels.
    ///
    /// The same arguments give the same bytes with one version of libpng and zlib: the file holds no time. Texts come before
    /// the pixels, in the given order. A text is a `tEXt` chunk if Latin-1 can hold it, otherwise an `iTXt` chunk (UTF-8).
    ///
    /// - Parameters:
    ///   - rgb: `height` rows of `width` pixels of 3 bytes, from the top left.
    ///   - text: keywords may repeat.
    /// - Throws: `invalidArgument` for an empty size, a size beyond `sideMax` or not that of `rgb`, and for text that a PNG
    ///   cannot hold.
    public static func encode(rgb: [UInt8], width: Int, height: Int, text: [PNGText] = []) throws(ImageFileError) -> [UInt8] {
        guard (1...sideMax).contains(width), (1...sideMax).contains(height) else {
            throw ImageFileError(
                .invalidArgument, "A PNG of \(width)x\(height) cannot be written; sides must be 1 to \(sideMax) pixels.")
        }
        let expected = width * height * 3
        guard rgb.count == expected else {
            throw ImageFileError(
                .invalidArgument, "A picture of \(width)x\(height) needs \(expected) bytes of RGB, not \(rgb.count).")
        }
        var encoded: [EncodedPNGText] = []
        for item in text { encoded.append(try EncodedPNGText(item)) }
        return try withChunks(encoded[...], []) { chunks throws(ImageFileError) in
            try encode(rgb, width: UInt32(width), height: UInt32(height), chunks: chunks)
        }
    }

    /// Calls `body` with C views of all texts. The recursion keeps the memory of every array borrowed until `body` returns.
    private static func withChunks(
        _ texts: ArraySlice<EncodedPNGText>, _ chunks: [cpng_text], _ body: ([cpng_text]) throws(ImageFileError) -> [UInt8]
    ) throws(ImageFileError) -> [UInt8] {
        guard let first = texts.first else { return try body(chunks) }
        return try first.keyword.withUnsafeBufferPointer { keyword throws(ImageFileError) in
            try first.value.withUnsafeBufferPointer { value throws(ImageFileError) in
                let chunk = cpng_text(keyword: keyword.baseAddress, value: value.baseAddress, is_utf8: first.isUTF8 ? 1 : 0)
                return try withChunks(texts.dropFirst(), chunks + [chunk], body)
            }
        }
    }

    private static func encode(
        _ rgb: [UInt8], width: UInt32, height: UInt32, chunks: [cpng_text]
    ) throws(ImageFileError) -> [UInt8] {
        var bytes: UnsafeMutablePointer<UInt8>?
        var size = 0
        var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE_SIZE))
        guard cpng_encode(rgb, width, height, chunks, chunks.count, &bytes, &size, &message) == 0, let bytes else {
            throw ImageFileError(.invalidArgument, "The PNG could not be encoded: \(CMessage.text(message)).")
        }
        defer { cpng_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: size))
    }
}
