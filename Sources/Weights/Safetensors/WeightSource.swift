public import Sentences
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
    /// Takes a tensor without its values: throws as `tensor` does for all that can be told from the files' heads.
    func check(_ path: String, shape: [Int]) throws(WeightsError)
    /// Full paths of the tensors that were never taken, sorted.
    func unusedPaths() -> [String]
    /// Whether tensors that the network does not know are passed over.
    var ignoresUnknown: Bool { get }
    /// What the file itself calls the tensor with this full path.
    func nameInFile(_ path: String) -> String
    /// What a user does when the weights turn out to be those of another network; it follows "if the weights are those of
    /// another model,".
    var remedy: Sentence { get }
}

extension WeightSource {
    /// Takes the tensor with its values, for sources that have nothing cheaper.
    public func check(_ path: String, shape: [Int]) throws(WeightsError) { _ = try tensor(path, shape: shape) }
    /// False: they are refused.
    public var ignoresUnknown: Bool { false }
    /// The path itself.
    public func nameInFile(_ path: String) -> String { path }
    /// For sources that are no files of a model.
    public var remedy: Sentence { "take the configuration that belongs to them" }
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
    ///   Nothing is thrown where the source passes over what the network does not know.
    public func requireAllConsumed(ignoring: [String] = ["position_ids"]) throws(WeightsError) {
        let left = unknown(ignoring: ignoring)
        guard !left.isEmpty, !source.ignoresUnknown else { return }
        let them = left.count == 1 ? "it" : "them"
        throw WeightsError(
            .unusedTensors,
            naming:
                "\(source.name) holds \(listed(left)) inside of a network that has no place for \(them); leave \(them) out by "
                + "\(.ignoreUnknownTensors) or, if the weights are those of another model, \(source.remedy).")
    }

    /// What is said of tensors inside of a network that were never taken and are left out; nil where there are none.
    public func unknownNote(ignoring: [String]) -> String? {
        let left = unknown(ignoring: ignoring)
        guard !left.isEmpty else { return nil }
        return
            "\(source.name) holds \(listed(left)) that the network has no place for; \(left.count == 1 ? "it is" : "they are") "
            + "left out"
    }

    /// Whether tensors below the place `child` of this one were never taken.
    public func hasUntaken(below child: String) -> Bool {
        source.unusedPaths().contains { $0.hasPrefix(fullPath(child) + ".") }
    }

    /// Names in the file of the tensors at or below this place that were never taken, sorted.
    private func unknown(ignoring: [String]) -> [String] {
        let paths = source.unusedPaths().filter { candidate in
            guard let relative = self.relative(candidate) else { return false }
            return !ignoring.contains { rule in
                rule.hasSuffix(".") ? relative.hasPrefix(rule) : relative == rule || relative.hasSuffix("." + rule)
            }
        }
        // Several paths may be parts of one tensor.
        return Set(paths.map(source.nameInFile)).sorted()
    }

    private func fullPath(_ name: String) -> String { path.isEmpty ? name : path + "." + name }

    /// The part of a full path below this place, nil when it lies elsewhere.
    private func relative(_ full: String) -> String? {
        if path.isEmpty { return full }
        return full.hasPrefix(path + ".") ? String(full.dropFirst(path.count + 1)) : nil
    }
}

/// Tensors of another source by their shapes alone: what can be told without their values is checked, and the values that are
/// given mean nothing.
private struct ShapesOnly: WeightSource {
    let base: any WeightSource

    var name: String { base.name }
    func contains(_ path: String) -> Bool { base.contains(path) }
    func shape(of path: String) -> [Int]? { base.shape(of: path) }
    func unusedPaths() -> [String] { base.unusedPaths() }
    var ignoresUnknown: Bool { base.ignoresUnknown }
    var remedy: Sentence { base.remedy }
    func nameInFile(_ path: String) -> String { base.nameInFile(path) }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        try base.check(path, shape: shape)
        return Tensor(uninitialized: shape)
    }
}

extension WeightScope {
    /// The same tensors by their shapes alone, for `ComputeContext.forShapes()`: nothing is read of them, and the values of the
    /// tensors that it gives are not initialised.
    public var shapesOnly: WeightScope { WeightScope(source: ShapesOnly(base: source), path: path) }

    /// All tensors of one safetensors file by their own names, as one network's weights.
    public init(_ file: SafetensorsFile) {
        let pieces = file.tensors.map { key, tensor in (key, TensorPiece(key: key, shape: tensor.shape)) }
        let component = StoredComponent(
            name: file.name, file: file, label: "file", pieces: Dictionary(uniqueKeysWithValues: pieces))
        self.init(StoredWeights(component, ignoresUnknown: false))
    }
}
