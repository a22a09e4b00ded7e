public import Sentences
public import TensorCore

/// The origin of one network's weights: files, or a generator for benchmarks.
public protocol WeightSource: Sendable {
    /// The source in messages.
    var name: String { get }
    /// Whether there is a tensor with this full path.
    func contains(_ path: String) -> Bool
    /// The stored shape of a tensor; nil when there is none.
    func shape(of path: String) -> [Int]?
    /// A tensor of exactly this shape as f32. Throws `.missingTensor`, `.misshapenTensor` and `.unsupportedElementType`.
    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor
    /// Marks a tensor as taken without reading its values. Throws the errors of `tensor` that the files' heads show.
    func check(_ path: String, shape: [Int]) throws(WeightsError)
    /// Full paths of the tensors not taken yet, sorted.
    func unusedPaths() -> [String]
    /// The number of all elements of its tensors, as far as it knows.
    var elementCount: Int { get }
    /// Whether unknown tensors are left out instead of refused.
    var ignoresUnknown: Bool { get }
    /// The name in the file of the tensor with this full path.
    func nameInFile(_ path: String) -> String
    /// The remedy for weights of another network; it follows "if the weights are those of another model,".
    var remedy: Sentence { get }
}

extension WeightSource {
    /// Takes the tensor with its values, for sources that have nothing cheaper.
    public func check(_ path: String, shape: [Int]) throws(WeightsError) { _ = try tensor(path, shape: shape) }
    public var elementCount: Int { 0 }
    public var ignoresUnknown: Bool { false }
    /// The path itself.
    public func nameInFile(_ path: String) -> String { path }
    /// The remedy of sources that are no files of a model.
    public var remedy: Sentence { "take the configuration that belongs to them" }
}

/// A place in the tree of a network's tensors: `weights["down_blocks"][0]["resnets"][1]["conv1"]` is the prefix
/// `down_blocks.0.resnets.1.conv1`. So names in the code are names in the file.
public struct WeightScope: Sendable {
    let source: any WeightSource
    /// The path of this place, without a dot at its end; empty at the top.
    public private(set) var path = ""
    private var readsValues = true
    /// The destination or the source of packed weights; nil without a file of them.
    var keeper: PackedKeeper?

    /// The top of a source.
    public init(_ source: any WeightSource) { self.source = source }

    /// The number of all elements of the source's tensors, as far as it knows.
    var elementCount: Int { source.elementCount }

    /// The place `child` below this one; `child` may hold dots.
    public subscript(_ child: String) -> WeightScope {
        var place = self
        place.path = fullPath(child)
        return place
    }

    /// The element `index` of a list.
    public subscript(_ index: Int) -> WeightScope { self[String(index)] }

    /// The tensor `name` of this place as f32, a copy that the caller owns.
    ///
    /// Throws `.missingTensor`; `.misshapenTensor` with both shapes; `.unsupportedElementType` for whole numbers.
    public func tensor(_ name: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard let keeper else { return try value(name, shape: shape) }
        return try kept(name, shape: shape, by: keeper)
    }

    /// The tensor from its source.
    func value(_ name: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard !shape.contains(where: { $0 <= 0 }) else {
            throw .misshapenTensor(
                "\(source.name): the configuration asks for tensor \(quoted(fullPath(name))) of the impossible shape \(shape).")
        }
        if readsValues { return try source.tensor(fullPath(name), shape: shape) }
        try source.check(fullPath(name), shape: shape)
        return Tensor(uninitialized: shape)
    }

    /// The same tensors by their shapes alone, for `ComputeContext.forShapes()`. Their values are not read and not initialised.
    public var shapesOnly: WeightScope {
        var shapes = self
        shapes.readsValues = false
        return shapes
    }

    /// Whether this place has the tensor `name`.
    public func contains(_ name: String) -> Bool { source.contains(fullPath(name)) }

    /// The stored shape of the tensor `name`; nil when there is none.
    public func shape(of name: String) -> [Int]? { source.shape(of: fullPath(name)) }

    /// Throws `.unusedTensors` with their names when tensors at or below this place were never taken, unless the source
    /// ignores unknown tensors.
    ///
    /// - Parameter ignoring: names that may be left over. A name that ends with a dot (`"encoder."`) stands for everything
    ///   below that path; any other name stands for tensors of that name at any depth (`"position_ids"` of old text encoders).
    public func requireAllConsumed(ignoring: [String] = ["position_ids"]) throws(WeightsError) {
        let left = unknown(ignoring: ignoring)
        guard !left.isEmpty, !source.ignoresUnknown else { return }
        let them = left.count == 1 ? "it" : "them"
        throw .unusedTensors(
            "\(source.name) holds \(listed(left)) that the network does not know; leave \(them) out by \(.ignoreUnknownTensors) "
                + "or, if the weights are those of another model, \(source.remedy).")
    }

    /// The note about tensors that are left out because the network does not know them; nil where there are none.
    public func unknownNote(ignoring: [String]) -> String? {
        let left = unknown(ignoring: ignoring)
        guard !left.isEmpty else { return nil }
        return
            "\(source.name) holds \(listed(left)) that the network does not know; \(left.count == 1 ? "it is" : "they are") "
            + "left out"
    }

    /// Whether tensors below the place `child` of this one were never taken.
    public func hasUntaken(below child: String) -> Bool {
        source.unusedPaths().contains { $0.hasPrefix(fullPath(child) + ".") }
    }

    /// The tensors at or below this place that were never taken, by their names in the file, sorted.
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

    func fullPath(_ name: String) -> String { path.isEmpty ? name : path + "." + name }

    /// The part of a full path below this place, nil when it lies elsewhere.
    private func relative(_ full: String) -> String? {
        if path.isEmpty { return full }
        return full.hasPrefix(path + ".") ? String(full.dropFirst(path.count + 1)) : nil
    }
}

extension WeightScope {
    /// All tensors of one safetensors file by their own names, as one network's weights.
    public init(_ file: SafetensorsFile) {
        let pieces = file.tensors.map { key, tensor in (key, TensorPiece(key: key, shape: tensor.shape)) }
        let component = StoredComponent(
            name: file.name, file: file, label: "file", pieces: Dictionary(uniqueKeysWithValues: pieces))
        self.init(StoredWeights(component, ignoresUnknown: false))
    }
}
