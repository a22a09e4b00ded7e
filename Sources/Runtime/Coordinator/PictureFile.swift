internal import ImageFiles
internal import Rendering
internal import ScratchFiles
import Sentences

/// A finished picture: a PNG file without a name, which may be too large for memory.
public final class PictureFile: Sendable {
    public let byteCount: Int
    /// The bytes; nil if there are none.
    private let file: ScratchFile?

    /// A file without a byte, until one is known.
    static let empty = PictureFile(nil, byteCount: 0)

    private init(_ file: ScratchFile?, byteCount: Int) { (self.file, self.byteCount) = (file, byteCount) }

    /// Gathers the pieces of a file.
    struct Writer {
        fileprivate let file: ScratchFile
        fileprivate(set) var byteCount = 0

        /// - Parameter bytes: about its final size.
        init(bytes: Int) throws(ScratchError) { file = try ScratchFile(bytes: bytes) }

        mutating func append(_ bytes: [UInt8]) throws(ScratchError) {
            try file.write(bytes, at: byteCount)
            byteCount += bytes.count
        }

        func finished() -> PictureFile { PictureFile(file, byteCount: byteCount) }
    }

    /// Writes pixels as PNG, band after band.
    convenience init(png pixels: PixelFile, _ texts: [PNGText]) throws(RuntimeError) {
        do {
            // Deflate makes random bytes larger by less than one in a hundred.
            let pixelBytes = pixels.width * pixels.height * 3
            var writer = try Writer(bytes: pixelBytes + pixelBytes / 100)
            var encoder = try PNGEncoder(width: pixels.width, height: pixels.height, text: texts)
            for band in pixels.bands { try writer.append(try encoder.write(try pixels.rows(band))) }
            try writer.append(try encoder.end())
            self.init(writer.file, byteCount: writer.byteCount)
        } catch let error as ScratchError {
            throw RuntimeError(error)
        } catch let error as RenderError {
            throw RuntimeError(error)
        } catch let error as ImageFileError {
            throw RuntimeError(.jobFailed, error.sentence)
        } catch {
            throw RuntimeError(.internalFault, "The picture could not be written: \(String(describing: error))")
        }
    }

    /// A part of the file.
    ///
    /// - Throws: `cannotWrite` if the disk fails.
    public func bytes(_ range: Range<Int>) throws(RuntimeError) -> [UInt8] {
        guard let file, !range.isEmpty else { return [] }
        do throws(ScratchError) {
            return try file.read(range.count, at: range.lowerBound)
        } catch {
            throw RuntimeError(error)
        }
    }

    /// The whole file.
    ///
    /// - Throws: `cannotWrite` if the disk fails.
    public func bytes() throws(RuntimeError) -> [UInt8] { try bytes(0..<byteCount) }

    /// The file's pieces of at most `size` bytes, in order.
    public func pieces(of size: Int) -> [Range<Int>] {
        stride(from: 0, to: byteCount, by: size).map { $0..<min(byteCount, $0 + size) }
    }
}

extension PictureFile: Equatable {
    /// Whether both are the same file.
    public static func == (left: PictureFile, right: PictureFile) -> Bool { left === right }
}

extension RuntimeError {
    init(_ error: ScratchError) { self.init(.cannotWrite, error.sentence) }
}
