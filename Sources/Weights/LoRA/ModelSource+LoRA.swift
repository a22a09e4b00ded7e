import Sentences
import TensorCore

/// A LoRA file and its strength.
public struct LoRAUse: Sendable {
    public var file: LoRAFile
    public var scale: LoRAScale

    public init(_ file: LoRAFile, scale: LoRAScale = 1) { (self.file, self.scale) = (file, scale) }
}

/// The LoRA files of a model, in the order of merging.
struct LoRAComposition: Sendable {
    /// One layer's change of one tensor.
    struct Addition: Sendable {
        let file: LoRAFile
        let layer: LoRALayer
        /// Shape of the changed tensor.
        let shape: [Int]
        /// scale · alpha / rank
        let factor: Float
    }

    var uses: [LoRAUse] = []
    /// The changes by component and by the tensor's path.
    var additions: [String: [String: [Addition]]] = [:]
    var threads = 1
    /// The ignored tensors of the files: a sentence each, without a full stop.
    var notes: [String] = []
}

extension ModelSource {
    /// The model with LoRA files merged into its weights. Each tensor becomes W + scale · alpha / rank · up · down when it is
    /// taken, for one file after the other.
    ///
    /// Sums are f32 in a fixed order: the same bytes for any number of threads. Another order of files changes the last bits.
    /// A file with a scale of 0 is checked and changes nothing.
    ///
    /// - Parameter threads: how many threads multiply while weights are taken.
    /// - Throws, before a weight is read: `.unusedTensors` with a layer that the model lacks and the file's likely family;
    ///   `.misshapenTensor` with both shapes; `.malformed` for scales that are not finite.
    public func applying(_ uses: [LoRAUse], threads: Int = 1) throws(WeightsError) -> ModelSource {
        guard !uses.isEmpty else { return self }
        let targets = try LoRATargets(self)
        var composition = loras ?? LoRAComposition()
        composition.threads = max(1, threads)
        for use in uses {
            if let wrong = use.scale.numbers.first(where: { !$0.isFinite }) {
                throw .malformed("\(use.file.name): a scale of \(wrong) is not possible; give a number such as 0.8.")
            }
            composition.uses.append(use)
            let matched = try targets.match(use.file, ignoringUnknown: ignoresUnknownTensors)
            if !matched.leftOut.isEmpty {
                composition.notes.append("\(use.file.name) holds \(listed(matched.leftOut)) that the model does not use")
            }
            for (target, layer) in matched.layers {
                let factor = Float(use.scale.number(for: layer.network) * layer.factor)
                guard factor.isFinite else {
                    throw .malformed(
                        "\(use.file.name): alpha and scale of \(quoted(layer.down)) multiply to a number that is too large; give a "
                            + "smaller scale.")
                }
                let addition = LoRAComposition.Addition(file: use.file, layer: layer, shape: target.shape, factor: factor)
                composition.additions[layer.network.rawValue, default: [:]][target.path, default: []].append(addition)
            }
        }
        var composed = self
        composed.loras = composition
        return composed
    }

    /// The weights of a component, `unet`, `vae`, `text_encoder` or `text_encoder_2`, with the LoRA files merged in as they are
    /// taken. Opens and checks all files, reads no value. Each call gives a scope that counts its own taken tensors.
    ///
    /// Throws `.notFound`, `.unsupportedFormat` if there are only pickles, and the errors of the files.
    public func weights(component: String) throws(WeightsError) -> WeightScope {
        let stored = try storedWeights(component: component)
        guard let loras, let additions = loras.additions[component], !additions.isEmpty else { return stored }
        return WeightScope(MergedWeights(stored.source, additions, threads: loras.threads))
    }

    /// The ignored tensors of this source's LoRA files: a sentence each, without a full stop.
    public var loraNotes: [String] { loras?.notes ?? [] }

    /// Components that the LoRA files of this source change.
    public var changedComponents: Set<String> { Set(loras?.additions.keys.map { $0 } ?? []) }
}

/// A network's weights with LoRA layers added to them.
private final class MergedWeights: WeightSource {
    private let base: any WeightSource
    private let additions: [String: [LoRAComposition.Addition]]
    private let threads: Int

    init(_ base: any WeightSource, _ additions: [String: [LoRAComposition.Addition]], threads: Int) {
        (self.base, self.additions, self.threads) = (base, additions, threads)
    }

    var name: String { base.name }
    func contains(_ path: String) -> Bool { base.contains(path) }
    func shape(of path: String) -> [Int]? { base.shape(of: path) }
    func unusedPaths() -> [String] { base.unusedPaths() }
    func check(_ path: String, shape: [Int]) throws(WeightsError) { try base.check(path, shape: shape) }
    var elementCount: Int { base.elementCount }
    var ignoresUnknown: Bool { base.ignoresUnknown }
    var remedy: Sentence { base.remedy }
    func nameInFile(_ path: String) -> String { base.nameInFile(path) }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        let weight = try base.tensor(path, shape: shape)
        for addition in additions[path] ?? [] where addition.factor != 0 { try add(addition, to: weight, path) }
        return weight
    }

    private func add(_ addition: LoRAComposition.Addition, to weight: Tensor, _ path: String) throws(WeightsError) {
        let (file, layer, rank) = (addition.file, addition.layer, addition.layer.rank)
        let rows = addition.shape[0]
        let columns = Tensor.elementCount(addition.shape) / rows
        let up = try file.tensor(layer.up).reshaped([rows, rank])
        var down = try file.tensor(layer.down)
        if let mid = layer.mid { down = LoRALayer.folded(try file.tensor(mid), into: down) }
        down = down.reshaped([rank, columns])
        weight.reshaped([rows, columns]).addProduct(of: up, and: down, times: addition.factor, threads: threads)
        guard weight.isFinite else {
            throw .malformed(
                "\(addition.file.name): merging \(quoted(layer.down)) makes numbers in \(path) of \(base.name) that are not finite; give a "
                    + "smaller scale, or download the file again.")
        }
    }
}

extension LoRALayer {
    /// LoCon's two lower factors as one: (p, i, h, w) = Σ over q of mid (p, q, h, w) · down (q, i).
    static func folded(_ mid: Tensor, into down: Tensor) -> Tensor {
        let (rank, inner) = (mid.shape[0], mid.shape[1])
        let kernel = mid.shape[2] * mid.shape[3]
        let inputs = down.count / inner
        let result = Tensor(repeating: 0, shape: [rank, inputs, kernel])
        let out = result.elements(as: Float.self)
        let (kernels, factors) = (mid.elements(as: Float.self), down.elements(as: Float.self))
        for p in 0..<rank {
            for q in 0..<inner {
                for i in 0..<inputs {
                    let factor = factors[q * inputs + i]
                    for k in 0..<kernel { out[(p * inputs + i) * kernel + k] += factor * kernels[(p * inner + q) * kernel + k] }
                }
            }
        }
        return result
    }
}
