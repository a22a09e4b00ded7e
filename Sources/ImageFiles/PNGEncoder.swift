import CPNG
import Glibc

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
        var chunks: [CChar] = []
        var areUTF8: [UInt8] = []
        for item in text {
            let encoded = try EncodedPNGText(item)
            chunks += encoded.keyword + encoded.value
            areUTF8.append(encoded.isUTF8 ? 1 : 0)
        }
        var bytes: UnsafeMutablePointer<CChar>?
        var size = 0
        var message = [CChar](repeating: 0, count: Int(CPNG_MESSAGE_SIZE))
        let status = cpng_encode(rgb, UInt32(width), UInt32(height), chunks, areUTF8, text.count, &bytes, &size, &message)
        guard status == 0 else {
            let reason = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            throw ImageFileError(.invalidArgument, "The PNG could not be encoded: \(reason).")
        }
        defer { free(bytes) }
        return Array(UnsafeRawBufferPointer(start: bytes, count: size))
    }
}
