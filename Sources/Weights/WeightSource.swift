import Synchronization
public import TensorCore

/// Where the weights of one network come from: files, or a generator for benchmarks.
public protocol WeightSource: Sendable {
    /// The source in messages.
    var name: String { get }
    /// Whether there is a tensor with this full path.
    func contains(_ path: String) -> Bool
    /// The stored shape of a tensor; nil when there is none.
    func shape(of path: String) -> [Int]?
    /// A tensor of exactly this shape as f32. Throws `.missingTensor`, `.misshapenTensor` and `.unsupportedElementType`.
    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor
    /// Full paths of the tensors that were never taken, sorted.
    func unusedPaths() -> [String]
}

/// A place in the tree of a network's tensors: `weights["down_blocks"][0]["resnets"][1]["conv1"]` is the prefix
/// `down_blocks.0.resnets.1.conv1`. A network is built from its checkpoint by walking down, so names in the code are names in
/// the file.
public struct WeightScope: Sendable {
    let source: any WeightSource
    /// The path of this place, without a dot at its end; empty at the top.
    public let path: String

    /// The top of a source.
    public init(_ source: any WeightSource) {
        self.source = source
        path = ""
    }

    private init(source: any WeightSource, path: String) {
        self.source = source
        self.path = path
    }

    /// The place `child` below this one; `child` may hold dots.
    public subscript(_ child: String) -> WeightScope { WeightScope(source: source, path: fullPath(child)) }

    /// The element `index` of a list.
    public subscript(_ index: Int) -> WeightScope { self[String(index)] }

    /// The tensor `name` of this place as f32, a copy that the caller owns.
    ///
    /// Throws `.missingTensor`; `.misshapenTensor` with both shapes; `.unsupportedElementType` for whole numbers.
    public func tensor(_ name: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard !shape.contains(where: { $0 <= 0 }) else {
            throw WeightsError(
                .misshapenTensor,
                "\(source.name): the configuration asks for tensor \(quoted(fullPath(name))) of the impossible shape \(shape).")
        }
        return try source.tensor(fullPath(name), shape: shape)
    }

    /// Whether this place has the tensor `name`.
    public func contains(_ name: String) -> Bool { source.contains(fullPath(name)) }

    /// The stored shape of the tensor `name`; nil when there is none.
    public func shape(of name: String) -> [Int]? { source.shape(of: fullPath(name)) }

    /// Throws `.unusedTensors` with their names when tensors at or below this place were never taken.
    ///
    /// - Parameter ignoring: names that may be left over. One with a dot at its end stands for everything below that path of
    ///   this place (`"encoder."`), any other for tensors so named at any depth (`"position_ids"`, a constant that old text
    ///   encoders hold).
    public func requireAllConsumed(ignoring: [String] = ["position_ids"]) throws(WeightsError) {
        let left = source.unusedPaths().filter { candidate in
            guard let relative = self.relative(candidate) else { return false }
            return !ignoring.contains { rule in
                rule.hasSuffix(".") ? relative.hasPrefix(rule) : relative == rule || relative.hasSuffix("." + rule)
            }
        }
        guard !left.isEmpty else { return }
        let names = left.prefix(5).map(quoted).joined(separator: ", ")
        let more = left.count > 5 ? " and \(left.count - 5) more" : ""
        throw WeightsError(
            .unusedTensors,
            "\(source.name) holds \(left.count) tensors that the model does not know: \(names)\(more); its configuration does "
                + "not belong to these weights.")
    }

    private func fullPath(_ name: String) -> String { path.isEmpty ? name : path + "." + name }

    /// The part of a full path below this place, nil when it lies elsewhere.
    private func relative(_ full: String) -> String? {
        if path.isEmpty { return full }
        return full.hasPrefix(path + ".") ? String(full.dropFirst(path.count + 1)) : nil
    }
}

/// The tensors of one or more safetensors files, and which of them were taken.
final class StoredWeights: WeightSource {
    let name: String
    private let files: [SafetensorsFile]
    private let fileOfTensor: [String: Int]
    private let taken = Mutex<Set<String>>([])

    /// No two files may hold a tensor of the same name.
    init(_ files: [SafetensorsFile], name: String) {
        self.files = files
        self.name = name
        var fileOfTensor: [String: Int] = [:]
        for (position, file) in files.enumerated() { for key in file.tensors.keys { fileOfTensor[key] = position } }
        self.fileOfTensor = fileOfTensor
    }

    func contains(_ path: String) -> Bool { fileOfTensor[path] != nil }

    func shape(of path: String) -> [Int]? { fileOfTensor[path].flatMap { files[$0].tensors[path]?.shape } }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard let position = fileOfTensor[path], let stored = files[position].tensors[path] else {
            throw WeightsError(
                .missingTensor, "\(name) has no tensor \(quoted(path)); the model needs it with shape \(shape).")
        }
        guard stored.shape == shape else {
            throw WeightsError(
                .misshapenTensor, "\(name): tensor \(quoted(path)) has shape \(stored.shape); the model needs \(shape).")
        }
        let tensor = try files[position].tensor(path)
        taken.withLock { _ = $0.insert(path) }
        return tensor
    }

    func unusedPaths() -> [String] {
        let taken = taken.withLock { $0 }
        return fileOfTensor.keys.filter { !taken.contains($0) }.sorted()
    }
}

extension WeightScope {
    /// All tensors of one safetensors file, as one network's weights.
    public init(_ file: SafetensorsFile) { self.init(StoredWeights([file], name: file.name)) }
}
