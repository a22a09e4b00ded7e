import ScratchFiles
import TensorCore

/// Tensors of an image's tiles for which memory has no room: numbered pieces of a scratch file, until a tile needs them again.
final class SpillFile {
    /// The usual number of a file's places: a terabyte. Only written places take space.
    static let places = 1 << 40
    /// The most bytes that are moved at once. Between two such moves the worker shows that it is alive.
    private static let sliceBytes = 16 << 20

    /// The most bytes of a piece.
    private let pieceBytes: Int
    private let context: ComputeContext
    private var file: ScratchFile?

    /// - Parameters:
    ///   - count: of pieces.
    ///   - bytes: the number of the file's places.
    init(count: Int, bytes: Int, _ context: ComputeContext) {
        (pieceBytes, self.context) = (bytes / max(1, count), context)
    }

    /// Writes the parts of a piece, one behind the other.
    ///
    /// - Throws: also for a piece that is too large for its place.
    func write(_ parts: [UnsafeRawBufferPointer], as piece: Int) throws(ScratchError) {
        guard parts.reduce(0, { $0 + $1.count }) <= pieceBytes else { throw ScratchError.tooLarge }
        // A small file would be in memory, and memory has no room.
        if file == nil { file = try ScratchFile(bytes: .max) }
        var place = piece * pieceBytes
        for part in parts {
            for slice in Self.slices(part.count) {
                context.whenAdvancing?()
                try file?.write(UnsafeRawBufferPointer(rebasing: part[slice]), at: place + slice.lowerBound)
            }
            place += part.count
        }
    }

    /// Reads the parts of a piece that was written with these sizes.
    func read(into parts: [UnsafeMutableRawBufferPointer], from piece: Int) throws(ScratchError) {
        guard let file else { preconditionFailure("piece \(piece) was never written") }
        var place = piece * pieceBytes
        for part in parts {
            for slice in Self.slices(part.count) {
                context.whenAdvancing?()
                try file.read(into: UnsafeMutableRawBufferPointer(rebasing: part[slice]), at: place + slice.lowerBound)
            }
            place += part.count
        }
    }

    private static func slices(_ count: Int) -> [Range<Int>] {
        stride(from: 0, to: count, by: sliceBytes).map { $0..<min(count, $0 + sliceBytes) }
    }
}
