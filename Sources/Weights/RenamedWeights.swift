import Synchronization
import TensorCore

/// Where one tensor of a network lies in a file that names and shapes it otherwise.
struct TensorPiece: Sendable, Equatable {
    /// Its name in the file.
    let key: String
    /// Its shape as the network knows it.
    let shape: [Int]
    /// The rows of the stored tensor that it is; nil for all. Three matrices stored as one are an example.
    var rows: Range<Int>?
    /// Whether rows and columns are stored the other way round.
    var isTransposed = false
}

/// The tensors of one component in a single file.
struct RenamedComponent: Sendable {
    let file: SafetensorsFile
    /// The file in the model's identity.
    let label: String
    /// By path in diffusers' naming.
    let pieces: [String: TensorPiece]
}

/// A component's weights read from a file with other names. Nothing is copied before it is asked for.
final class RenamedWeights: WeightSource {
    private let component: RenamedComponent
    private let taken = Mutex<Set<String>>([])

    init(_ component: RenamedComponent) { self.component = component }

    var name: String { component.file.name }

    func contains(_ path: String) -> Bool { component.pieces[path] != nil }

    func shape(of path: String) -> [Int]? { component.pieces[path]?.shape }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard let piece = component.pieces[path] else {
            throw WeightsError(
                .missingTensor,
                "\(name) has no tensor for \(quoted(path)); the model needs it with shape \(shape). The file is incomplete, or "
                    + "its configuration is another.")
        }
        guard piece.shape == shape else {
            throw WeightsError(
                .misshapenTensor,
                "\(name): tensor \(quoted(piece.key)) has shape \(piece.shape) as \(quoted(path)); the model needs \(shape).")
        }
        let stored = try component.file.tensor(piece.key, rows: piece.rows)
        taken.withLock { _ = $0.insert(path) }
        return piece.isTransposed ? RenamedWeights.transposed(stored) : stored.reshaped(shape)
    }

    func unusedPaths() -> [String] {
        let taken = taken.withLock { $0 }
        return component.pieces.keys.filter { !taken.contains($0) }.sorted()
    }

    /// A matrix with rows and columns exchanged.
    private static func transposed(_ matrix: Tensor) -> Tensor {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let result = Tensor(uninitialized: [columns, rows])
        let (from, to) = (matrix.floats, result.floats)
        for row in 0..<rows { for column in 0..<columns { to[column * rows + row] = from[row * columns + column] } }
        return result
    }
}
