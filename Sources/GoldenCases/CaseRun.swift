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

    /// - Parameter exact: compare without tolerance, whatever the case says.
    func produce(_ name: String, _ tensor: GoldenTensor, exact: Bool = false) {
        computed[name] = tensor
        if exact { exactNames.insert(name) }
    }

    /// A channels-last image.
    func produce(image name: String, _ tensor: Tensor) {
        let s = tensor.shape
        produce(name, GoldenTensor(tensor.planarArray, shape: [s[0], s[3], s[1], s[2]]))
    }

    /// A tensor in its own order: tokens, embeddings.
    func produce(plain name: String, _ tensor: Tensor) { produce(name, GoldenTensor(tensor.array, shape: tensor.shape)) }

    /// Compares all computed tensors with all expected ones. None may be missing on either side.
    ///
    /// - Returns: the largest error, the number of tensors compared, and the smallest PSNR where there are pictures.
    func compare() throws(GoldenError) -> (largestError: Double, tensors: Int, decibels: Double?) {
        let unread = Set(golden.inputs?.tensors.keys ?? [:].keys).subtracting(readNames).sorted()
        guard unread.isEmpty else { throw .failed("nothing uses the input tensors \(unread.joined(separator: ", "))") }
        let expected = golden.expected.tensors
        let missing = Set(expected.keys).subtracting(computed.keys).sorted()
        guard missing.isEmpty else { throw .failed("nothing computes the expected tensors \(missing.joined(separator: ", "))") }
        let extra = Set(computed.keys).subtracting(expected.keys).sorted()
        guard extra.isEmpty else { throw .failed("the expected tensors \(extra.joined(separator: ", ")) are missing") }
        var largest = 0.0
        var decibels: Double?
        for (name, wanted) in expected.sorted(by: { $0.key < $1.key }) {
            guard let actual = computed[name] else { continue }
            let rule = exactNames.contains(name) ? .exact : golden.toleranceByTensor[name] ?? golden.tolerance
            let error = try Comparison.check(name, actual: actual, expected: wanted, tolerance: rule)
            // A picture's steps of 1/255 are no error of the numbers behind it.
            guard rule.decibels != nil, case .integers(let a) = actual.values, case .integers(let b) = wanted.values else {
                largest = max(largest, error)
                continue
            }
            decibels = min(decibels ?? .infinity, Comparison.decibels(a, b))
        }
        return (largest, expected.count, decibels)
    }
}
