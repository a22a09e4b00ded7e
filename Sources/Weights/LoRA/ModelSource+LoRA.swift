import Sentences
import TensorCore

/// A LoRA file and how strongly it counts.
public struct LoRAUse: Sendable {
    public var file: LoRAFile
    public var scale: LoRAScale

    public init(_ file: LoRAFile, scale: LoRAScale = 1) { (self.file, self.scale) = (file, scale) }
}

/// LoRA files laid over a model, in the order of merging.
struct LoRAComposition: Sendable {
    /// One layer's change of one tensor.
    struct Addition: Sendable {
        let file: LoRAFile
        let layer: LoRALayer
        /// Shape of the tensor that is changed.
        let shape: [Int]
        /// scale · alpha / rank
        let factor: Float
    }

    var uses: [LoRAUse] = []
    /// By component and path of the tensor.
    var additions: [String: [String: [Addition]]] = [:]
    /// Threads that multiply.
    var threads = 1
    /// What was left out of the files: a sentence each, without a full stop.
    var notes: [String] = []
}

extension ModelSource {
    /// The model with LoRA files merged into its weights: each tensor becomes W + scale · alpha / rank · up · down for one file
    /// after the other, in the order given, when it is taken. Networks built from it cost no more than the model's own.
    ///
    /// Sums are of f32, and of fixed order: the same bytes for any number of threads. In another order of the files the last
    /// bits differ. A file with a scale of 0 is checked and changes nothing.
    ///
    /// - Parameter threads: how many threads multiply while weights are taken.
    /// - Throws: `.unusedTensors` for a layer that the model does not have, by name, with the family the file seems to be for;
    ///   `.misshapenTensor` with both shapes; `.malformed` for scales that are no numbers. All before a weight is read.
    public func applying(_ uses: [LoRAUse], threads: Int = 1) throws(WeightsError) -> ModelSource {
        guard !uses.isEmpty else { return self }
        let targets = try LoRATargets(self)
        var composition = loras ?? LoRAComposition()
        composition.threads = max(1, threads)
        for use in uses {
            if let wrong = use.scale.numbers.first(where: { !$0.isFinite }) {
                throw WeightsError(
                    .malformed, "\(use.file.name): a scale of \(wrong) is not possible; give a number such as 0.8.")
            }
            composition.uses.append(use)
            let matched = try targets.match(use.file, ignoringUnknown: ignoresUnknownTensors)
            if !matched.leftOut.isEmpty {
                composition.notes.append("\(use.file.name) holds \(listed(matched.leftOut)) that the model has no use for")
            }
            for (target, layer) in matched.layers {
                let factor = Float(use.scale.number(for: layer.network) * layer.factor)
                guard factor.isFinite else {
                    throw WeightsError(
                        .malformed,
                        "\(use.file.name): alpha and scale of \(quoted(layer.down)) multiply to more than a number can hold; give "
                            + "a smaller scale.")
                }
                let addition = LoRAComposition.Addition(file: use.file, layer: layer, shape: target.shape, factor: factor)
                composition.additions[layer.network.rawValue, default: [:]][target.path, default: []].append(addition)
            }
        }
        var composed = self
        composed.loras = composition
        return composed
    }

    /// The weights of a component, `unet`, `vae`, `text_encoder` or `text_encoder_2`, with the LoRA files of this source merged
    /// in as they are taken: all files opened and checked, no value read. Each call gives a scope of its own that knows what
    /// was taken from it.
    ///
    /// Throws `.notFound`, `.unsupportedFormat` when there are only pickles, and whatever is wrong with the files.
    public func weights(component: String) throws(WeightsError) -> WeightScope {
        let stored = try storedWeights(component: component)
        guard let loras, let additions = loras.additions[component], !additions.isEmpty else { return stored }
        return WeightScope(MergedWeights(stored.source, additions, threads: loras.threads))
    }

    /// What was left out of the LoRA files of this source: a sentence each, without a full stop.
    public var loraNotes: [String] { loras?.notes ?? [] }

    /// Components whose weights the LoRA files of this source change; the others are the model's own.
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
    /// LoRA layers belong to tensors of the base, so that one that was never merged shows as a tensor that was never taken.
    func unusedPaths() -> [String] { base.unusedPaths() }
    func check(_ path: String, shape: [Int]) throws(WeightsError) { try base.check(path, shape: shape) }
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
            throw WeightsError(
                .malformed,
                "\(addition.file.name): merging \(quoted(layer.down)) leaves no finite numbers in \(path) of \(base.name); give a "
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
