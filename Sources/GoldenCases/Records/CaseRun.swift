import EmbeddedModel
import TensorCore

/// A case while it is computed: it gives out the inputs and takes the results.
final class CaseRun {
    let golden: GoldenCase
    let bench: ModelBench
    var parameters: Parameters { golden.parameters }
    var context: ComputeContext { bench.context }
    private var computed: [String: GoldenTensor] = [:]
    private var exactNames: Set<String> = []
    private var readNames: Set<String> = []

    init(_ golden: GoldenCase, bench: ModelBench) {
        self.golden = golden
        self.bench = bench
    }

    /// The case's model: a folder, or a single file with the configuration of the folder `params.config`.
    func model() throws -> LoadedModel {
        guard let model = golden.model else { throw GoldenError.failed("\"model\" is null, and this kind needs a model") }
        if model == EmbeddedModel.name { return try bench.model(at: nil) }
        guard model.hasSuffix(".safetensors") else { return try bench.model(at: golden.resolve(model)) }
        return try bench.model(at: golden.resolve(model), configuration: golden.resolve(parameters.string("config")))
    }

    // MARK: Inputs

    func hasInput(_ name: String) -> Bool { golden.inputs?.tensors[name] != nil }

    /// The input `name`; `shape` gives its extents, nil for any.
    func input(_ name: String, _ shape: [Int?]) throws(GoldenError) -> GoldenTensor {
        guard let tensor = golden.inputs?.tensors[name] else { throw .failed("the input tensor \(name) is missing") }
        readNames.insert(name)
        let fits =
            tensor.shape.count == shape.count
            && zip(tensor.shape, shape).allSatisfy { found, wanted in found > 0 && (wanted ?? found) == found }
        guard fits else {
            let wanted = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
            throw .failed("the input tensor \(name) has shape \(tensor.shape), not (\(wanted))")
        }
        return tensor
    }

    /// A tensor of f32 in its stored order.
    func tensor(_ name: String, _ shape: [Int?]) throws(GoldenError) -> Tensor {
        let stored = try input(name, shape)
        return Tensor(stored.floats, shape: stored.shape)
    }

    /// An image (n, c, h, w), given channels last.
    func image(_ name: String, channels: Int? = nil) throws(GoldenError) -> Tensor {
        let stored = try input(name, [nil, channels, nil, nil])
        let s = stored.shape
        return Tensor(planar: stored.floats, n: s[0], c: s[1], h: s[2], w: s[3])
    }

    func integers(_ name: String, _ shape: [Int?]) throws(GoldenError) -> (values: [Int], shape: [Int]) {
        let stored = try input(name, shape)
        guard case .integers(let values) = stored.values else {
            throw .failed("the input tensor \(name) does not hold whole numbers")
        }
        return (values, stored.shape)
    }

    // MARK: Results

    /// Whether the case wants to see `name`.
    func expects(_ name: String) -> Bool { golden.expected.tensors[name] != nil }

    /// - Parameter exact: whether to compare without the case's tolerance.
    func produce(_ name: String, _ tensor: GoldenTensor, exact: Bool = false) {
        computed[name] = tensor
        if exact { exactNames.insert(name) }
    }

    /// The same numbers in the element type of the chosen precision, for operators that no network surrounds.
    func narrowed(_ tensor: Tensor) -> Tensor { context.convert(tensor, to: context.precision) }

    /// A channels-last image of any element type.
    func produce(image name: String, _ tensor: Tensor) {
        let s = tensor.shape
        produce(name, GoldenTensor(context.convert(tensor, to: .f32).planarArray, shape: [s[0], s[3], s[1], s[2]]))
    }

    /// A tensor in its own order and of any element type: tokens, embeddings.
    func produce(plain name: String, _ tensor: Tensor) {
        produce(name, GoldenTensor(context.convert(tensor, to: .f32).array, shape: tensor.shape))
    }

    /// Compares all computed tensors with all expected ones. None may be missing on either side.
    ///
    /// - Parameter record: of the reference's own bf16, for a case that computes in bf16.
    func compare(_ record: ReferenceRecords.Case?) throws(GoldenError) -> GoldenScore {
        try checkNames()
        var score = GoldenScore(tensors: golden.expected.tensors.count, shareOfRecord: record.map { _ in 0 })
        for (name, wanted) in golden.expected.tensors.sorted(by: { $0.key < $1.key }) {
            guard let actual = computed[name] else { continue }
            if let recorded = record?.errors[name], !exactNames.contains(name) {
                let share = try RecordedComparison.check(name, actual: actual, expected: wanted, recorded: recorded)
                score.shareOfRecord = max(score.shareOfRecord ?? 0, share)
                if case .picture = recorded { score.add(picture: actual, wanted) }
                continue
            }
            let rule = exactNames.contains(name) ? .exact : golden.toleranceByTensor[name] ?? golden.tolerance
            let error = try Comparison.check(name, actual: actual, expected: wanted, tolerance: rule)
            // A picture's steps of 1/255 are no error of the numbers behind it.
            if rule.decibels != nil {
                score.add(picture: actual, wanted)
            } else {
                score.largestError = max(score.largestError, error)
            }
        }
        return score
    }

    /// Checks that every input is used, and that the computed tensors have the expected names.
    private func checkNames() throws(GoldenError) {
        let unread = Set(golden.inputs?.tensors.keys ?? [:].keys).subtracting(readNames).sorted()
        guard unread.isEmpty else { throw .failed("nothing uses the input tensors \(unread.joined(separator: ", "))") }
        let expected = golden.expected.tensors
        let missing = Set(expected.keys).subtracting(computed.keys).sorted()
        guard missing.isEmpty else { throw .failed("nothing computes the expected tensors \(missing.joined(separator: ", "))") }
        let extra = Set(computed.keys).subtracting(expected.keys).sorted()
        guard extra.isEmpty else { throw .failed("the expected tensors \(extra.joined(separator: ", ")) are missing") }
    }
}

extension GoldenScore {
    fileprivate mutating func add(picture actual: GoldenTensor, _ wanted: GoldenTensor) {
        guard case .integers(let a) = actual.values, case .integers(let b) = wanted.values else { return }
        decibels = min(decibels ?? .infinity, Comparison.decibels(a, b))
    }
}
