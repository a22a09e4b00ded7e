import Sentences
import Synchronization
import TensorCore

/// The place of one tensor of a network in the files, which may have another name and shape for it.
struct TensorPiece: Sendable, Equatable {
    /// The index of the file among the component's files.
    var file = 0
    /// Its name in the file.
    let key: String
    /// Its shape in the network.
    let shape: [Int]
    /// Its rows of the stored tensor; nil for all. For example, three matrices may be stored as one.
    var rows: Range<Int>?
    /// Whether the file has rows and columns exchanged.
    var isTransposed = false
    /// Name of its scale in the file; nil for none.
    var scale: String?
}

/// The tensors of one network by their paths in diffusers' naming.
struct StoredComponent: Sendable {
    /// The component in messages: its folder, or the file.
    let name: String
    let files: [SafetensorsFile]
    /// Stands for the file in the model's identity; nil for the files of a model's folder, which have paths.
    let label: String?
    let pieces: [String: TensorPiece]
    /// Names that the model does not use, sorted.
    let leftovers: [String]

    init(name: String, file: SafetensorsFile, label: String, pieces: [String: TensorPiece], leftovers: [String] = []) {
        (self.name, files, self.label, self.pieces, self.leftovers) = (name, [file], label, pieces, leftovers.sorted())
    }

    /// The tensors of a component's own files, in diffusers' naming or, for an autoencoder, in LDM's.
    ///
    /// Throws `.malformed` for two tensors of the same part of the network, and for scales without weights.
    init(_ component: String, files: [SafetensorsFile], name: String, vaeLevels: Int) throws(WeightsError) {
        var pieces: [String: TensorPiece] = [:]
        var leftovers: Set<String> = []
        var unwrapped: [SafetensorsFile] = []
        let wrapper = try NameWrapper(files, component)
        let names = ComponentNames(component, vaeLevels: vaeLevels)
        for (index, stored) in files.enumerated() {
            let file = try wrapper.unwrap(stored)
            let scales = try WeightScales(file) { ComponentNames.isInside($0, component) }
            for (key, tensor) in file.tensors where !scales.handled.contains(key) {
                guard let path = names.path(key), tensor.count > 0 else {
                    if !ComponentNames.isHarmless(key) { leftovers.insert(file.nameInFile(key)) }
                    continue
                }
                let piece = TensorPiece(
                    file: index, key: key, shape: names.shape(path, tensor.shape), scale: scales.scale(of: key))
                if let other = pieces.updateValue(piece, forKey: path) {
                    throw samePart(other.key, key, of: name)
                }
            }
            unwrapped.append(file)
        }
        (self.name, self.files, label, self.pieces) = (name, unwrapped, nil, pieces)
        self.leftovers = leftovers.sorted()
    }
}

/// The error for two tensors of a file or folder that have the same place in a network.
func samePart(_ a: String, _ b: String, of name: String) -> WeightsError {
    .malformed("\(name) holds \(quoted(min(a, b))) and \(quoted(max(a, b))), which are the same part of the model; remove one.")
}

/// A component's weights in its files. Values are copied only when taken.
final class StoredWeights: WeightSource {
    private let component: StoredComponent
    private let taken = Mutex<Set<String>>([])
    let ignoresUnknown: Bool

    init(_ component: StoredComponent, ignoresUnknown: Bool) {
        (self.component, self.ignoresUnknown) = (component, ignoresUnknown)
    }

    var name: String { component.name }

    func contains(_ path: String) -> Bool { component.pieces[path] != nil }

    func nameInFile(_ path: String) -> String {
        component.pieces[path].map { component.files[$0.file].nameInFile($0.key) } ?? path
    }

    var remedy: Sentence {
        switch component.label {
        case Checkpoint.label: "name their configuration by \(.modelConfig)"
        case SeparateVAE.label: "name another autoencoder by \(.vae)"
        default: "take the config.json that was published with them"
        }
    }

    func shape(of path: String) -> [Int]? { component.pieces[path]?.shape }

    var elementCount: Int {
        component.pieces.values.reduce(0) { sum, piece in
            sum.addingClamped(piece.shape.reduce(1) { $0.multipliedClamped(by: $1) })
        }
    }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        let piece = try piece(path, shape: shape)
        let file = component.files[piece.file]
        let stored = try file.tensor(piece.key, rows: piece.rows, scale: piece.scale)
        taken.withLock { _ = $0.insert(path) }
        return piece.isTransposed ? StoredWeights.transposed(stored) : stored.reshaped(shape)
    }

    func check(_ path: String, shape: [Int]) throws(WeightsError) {
        let piece = try piece(path, shape: shape)
        let file = component.files[piece.file]
        try file.requireFloatingPoint(piece.key)
        if let scale = piece.scale { _ = try WeightScales.value(scale, of: piece.key, in: file) }
        taken.withLock { _ = $0.insert(path) }
    }

    private func piece(_ path: String, shape: [Int]) throws(WeightsError) -> TensorPiece {
        let isFile = component.label != nil
        guard let piece = component.pieces[path] else {
            throw .missingTensor(
                "\(name) has no tensor \(isFile ? "for " : "")\(quoted(path)), which the model needs with shape \(shape); the file is "
                    + "incomplete, or its configuration belongs to another model.")
        }
        guard areAlike(piece.shape, shape) else {
            let key = nameInFile(path)
            let other = key == path ? "" : " as \(quoted(path))"
            throw .misshapenTensor(
                "\(name): tensor \(quoted(key)) has shape \(described(piece.shape))\(other); the model needs \(shape).")
        }
        return piece
    }

    func unusedPaths() -> [String] {
        let taken = taken.withLock { $0 }
        return component.pieces.keys.filter { !taken.contains($0) }.sorted()
    }

    private static func transposed(_ matrix: Tensor) -> Tensor {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let result = Tensor(uninitialized: [columns, rows])
        let (from, to) = (matrix.elements(as: Float.self), result.elements(as: Float.self))
        for row in 0..<rows { for column in 0..<columns { to[column * rows + row] = from[row * columns + column] } }
        return result
    }
}
