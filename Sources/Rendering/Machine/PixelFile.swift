import DiffusionModels
import ScratchFiles

/// The pixels of a picture, outside memory: tiles come in any order, rows are read in bands.
public struct PixelFile: Sendable {
    /// Sides in pixels.
    public let width: Int
    public let height: Int
    private let file: ScratchFile

    /// About the bytes of a band.
    private static let bandBytes = 1 << 20

    /// - Throws: `.storage` without a place for it.
    init(width: Int, height: Int) throws(RenderError) {
        (self.width, self.height) = (width, height)
        do throws(ScratchError) { file = try ScratchFile(bytes: width * height * 3) } catch { throw RenderError(error) }
    }

    /// A picture that is in memory.
    ///
    /// - Parameter rgb: row by row from the top left, three bytes a pixel.
    /// - Throws: `.storage` without a place for it.
    package init(width: Int, height: Int, rgb: [UInt8]) throws(RenderError) {
        try self.init(width: width, height: height)
        try write(rgb, to: ImageBox(height: height, width: width))
    }

    /// - Parameter rgb: the pixels of `box`, row by row.
    func write(_ rgb: [UInt8], to box: ImageBox) throws(RenderError) {
        precondition(rgb.count == box.pointCount * 3, "\(rgb.count) bytes are no \(box.width)×\(box.height) pixels")
        // Whole rows of the picture are one piece of the file.
        let pieces = box.width == width ? 1 : box.height
        let size = rgb.count / pieces
        do throws(ScratchError) {
            for piece in 0..<pieces {
                let place = ((box.rows.lowerBound + piece) * width + box.columns.lowerBound) * 3
                try file.write(Array(rgb[piece * size..<(piece + 1) * size]), at: place)
            }
        } catch {
            throw RenderError(error)
        }
    }

    /// The pixels of some rows, three bytes each: red, green, blue.
    ///
    /// - Throws: `.storage` if the disk fails.
    public func rows(_ rows: Range<Int>) throws(RenderError) -> [UInt8] {
        do throws(ScratchError) {
            return try file.read(rows.count * width * 3, at: rows.lowerBound * width * 3)
        } catch {
            throw RenderError(error)
        }
    }

    /// A part of a row.
    func row(_ row: Int, columns: Range<Int>) throws(RenderError) -> [UInt8] {
        do throws(ScratchError) {
            return try file.read(columns.count * 3, at: (row * width + columns.lowerBound) * 3)
        } catch {
            throw RenderError(error)
        }
    }

    /// All pixels, of a picture that fits into memory.
    ///
    /// - Throws: `.storage` if the disk fails.
    package var rgb: [UInt8] { get throws(RenderError) { try rows(0..<height) } }

    /// All rows in bands of about a megabyte, from the top.
    public var bands: [Range<Int>] {
        let step = max(1, Self.bandBytes / (width * 3))
        return stride(from: 0, to: height, by: step).map { $0..<min(height, $0 + step) }
    }
}

extension RenderError {
    init(_ error: ScratchError) { self.init(.storage, naming: error.sentence) }
}
