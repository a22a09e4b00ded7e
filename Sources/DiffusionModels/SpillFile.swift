import ScratchFiles
import Sentences
import TensorCore

/// What an image's tiles need again and has no room in memory: numbered pieces of a scratch file.
final class SpillFile {
    /// The file's places go up to here: eight terabytes, which every file system can number. Only what is written takes space.
    private static let lastPlace = 1 << 43

    /// The most bytes of a piece.
    private let pieceBytes: Int
    private var file: ScratchFile?

    /// - Parameter count: of pieces.
    init(count: Int) { pieceBytes = Self.lastPlace / max(1, count) }

    /// Writes the parts of a piece, one behind the other.
    func write(_ parts: [UnsafeRawBufferPointer], as piece: Int) throws(ComputeError) {
        let bytes = parts.reduce(0) { $0 + $1.count }
        precondition(bytes <= pieceBytes, "\(bytes) bytes are no piece of \(pieceBytes)")
        do throws(ScratchError) {
            // A small file would be in memory, which is what there is no room in.
            if file == nil { file = try ScratchFile(bytes: .max) }
            var place = piece * pieceBytes
            for part in parts {
                try file?.write(part, at: place)
                place += part.count
            }
        } catch {
            throw ComputeError(error.description)
        }
    }

    /// Reads the parts of a piece that was written with these sizes.
    func read(into parts: [UnsafeMutableRawBufferPointer], from piece: Int) throws(ComputeError) {
        guard let file else { preconditionFailure("piece \(piece) was never written") }
        var place = piece * pieceBytes
        do throws(ScratchError) {
            for part in parts {
                try file.read(into: part, at: place)
                place += part.count
            }
        } catch {
            throw ComputeError(error.description)
        }
    }
}
