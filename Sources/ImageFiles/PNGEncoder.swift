import CPNG
import ScratchFiles

/// Writes a picture as PNG, some rows at a time.
///
/// The same arguments give the same bytes with one version of libpng and zlib: the file holds no time. Texts come before the
/// pixels, in the given order. A text is a `tEXt` chunk if Latin-1 can hold it, otherwise an `iTXt` chunk (UTF-8).
public struct PNGEncoder: ~Copyable {
    /// The longest side of a picture, equal to the reader's limit.
    public static let sideMax = PictureLimits.standard.sideMax

    private let writer: OpaquePointer?
    private let width: Int
    private let height: Int
    private var rowsWritten = 0
    private var hasEnded = false

    /// - Parameter text: keywords may repeat.
    /// - Throws: `invalidArgument` for an empty size, a size beyond `sideMax`, and for text that a PNG cannot hold.
    public init(width: Int, height: Int, text: [PNGText] = []) throws(ImageFileError) {
        guard (1...Self.sideMax).contains(width), (1...Self.sideMax).contains(height) else {
            throw ImageFileError(
                .invalidArgument, "A PNG of \(width)x\(height) cannot be written; sides must be 1 to \(Self.sideMax) pixels.")
        }
        var (chunks, areUTF8): ([CChar], [UInt8]) = ([], [])
        for item in text {
            let encoded = try EncodedPNGText(item)
            chunks += encoded.keyword + encoded.value
            areUTF8.append(encoded.isUTF8 ? 1 : 0)
        }
        let opened = cpng_writer_open(UInt32(width), UInt32(height), chunks, areUTF8, text.count)
        do throws(ImageFileError) { try Self.check(opened) } catch {
            cpng_writer_close(opened)
            throw error
        }
        (writer, self.width, self.height) = (opened, width, height)
    }

    deinit { cpng_writer_close(writer) }

    /// Takes the next rows, from the top, and gives the file's next bytes.
    ///
    /// - Parameter rgb: whole rows of `width` pixels of 3 bytes.
    /// - Throws: `invalidArgument` for a part of a row, and for more rows than the picture has.
    public mutating func write(_ rgb: [UInt8]) throws(ImageFileError) -> [UInt8] {
        let rows = rgb.count / (width * 3)
        guard rgb.count == rows * width * 3, rows <= height - rowsWritten else {
            throw ImageFileError(
                .invalidArgument,
                "A picture of \(width)x\(height) cannot take \(rgb.count) bytes of RGB after its first \(rowsWritten) rows.")
        }
        cpng_writer_rows(writer, rgb, rows)
        rowsWritten += rows
        return try taken()
    }

    /// Gives the file's last bytes, once.
    ///
    /// - Throws: `invalidArgument` before the last row, and a second time.
    public mutating func end() throws(ImageFileError) -> [UInt8] {
        guard !hasEnded else { throw ImageFileError(.invalidArgument, "A PNG ends only once.") }
        guard rowsWritten == height else {
            throw ImageFileError(
                .invalidArgument, "A picture of \(width)x\(height) needs \(height) rows of RGB, not \(rowsWritten).")
        }
        hasEnded = true
        cpng_writer_end(writer)
        return try taken()
    }

    private func taken() throws(ImageFileError) -> [UInt8] {
        try Self.check(writer)
        var size = 0
        let bytes = cpng_writer_take(writer, &size)
        return Array(UnsafeBufferPointer(start: bytes, count: size))
    }

    private static func check(_ writer: OpaquePointer?) throws(ImageFileError) {
        guard let problem = cpng_writer_problem(writer) else { return }
        throw ImageFileError(.invalidArgument, "The PNG could not be encoded: \(String(cString: problem)).")
    }

    /// Encodes all pixels at once.
    ///
    /// - Parameter rgb: `height` rows of `width` pixels of 3 bytes, from the top left.
    /// - Throws: `invalidArgument` for pixels, size or text that do not fit.
    public static func encode(rgb: [UInt8], width: Int, height: Int, text: [PNGText] = []) throws(ImageFileError) -> [UInt8] {
        var encoder = try PNGEncoder(width: width, height: height, text: text)
        let pixels = try encoder.write(rgb)
        return pixels + (try encoder.end())
    }
}
