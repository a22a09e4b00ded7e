import TensorCore

/// The numbers that weights of eight bits are multiplied by, one for each tensor, as programs write them beside the weights:
/// `layer.scale_weight` (ComfyUI's scaled F8 files) or `layer.weight_scale`. Scales of inputs (`scale_input`, `input_scale`)
/// are for products in eight bits, and mean nothing where weights are widened; neither does the mark `scaled_fp8`.
struct WeightScales {
    private static let endings = [".scale_weight", ".weight_scale"]
    private static let meaningless = [".scale_input", ".input_scale"]
    private static let mark = "scaled_fp8"
    /// Scales of blocks of a weight, which are not implemented.
    private static let unsupported = ".weight_scale_inv"

    private var scaleOf: [String: String] = [:]
    /// Names of scales and marks, which are no tensors of a network.
    private(set) var handled: Set<String> = []

    /// - Throws: `.unsupportedFormat` for scales of another kind, `.malformed` for a scale without its weight.
    init(_ file: SafetensorsFile) throws(WeightsError) {
        for (key, stored) in file.tensors {
            if key == Self.mark || key.hasSuffix("." + Self.mark) || Self.meaningless.contains(where: { key.hasSuffix($0) }) {
                handled.insert(key)
            }
            if key.hasSuffix(Self.unsupported) { throw Self.refusal(key, file) }
            guard let ending = Self.endings.first(where: { key.hasSuffix($0) }) else { continue }
            guard stored.count == 1 else { throw Self.refusal(key, file) }
            let weight = key.dropLast(ending.count) + ".weight"
            guard file.tensors[String(weight)] != nil else {
                throw WeightsError(
                    .malformed, "\(file.name) holds the scale \(quoted(key)) without its weight; download it again.")
            }
            guard scaleOf.updateValue(key, forKey: String(weight)) == nil else {
                throw WeightsError(.malformed, "\(file.name) holds two scales of \(quoted(String(weight))); download it again.")
            }
            handled.insert(key)
        }
    }

    /// The name of the number that a weight is multiplied by.
    func scale(of weight: String) -> String? { scaleOf[weight] }

    private static func refusal(_ key: String, _ file: SafetensorsFile) -> WeightsError {
        WeightsError(
            .unsupportedFormat,
            "\(file.name): \(quoted(key)) scales parts of a weight, and only one scale for each tensor is supported; take the "
                + "model's F16 or F32 file.")
    }

    /// Throws `.malformed` unless it is a finite number.
    static func value(_ key: String, in file: SafetensorsFile) throws(WeightsError) -> Float {
        let value = try file.tensor(key).array[0]
        guard value.isFinite else {
            throw WeightsError(.malformed, "\(file.name): the scale \(quoted(key)) is no finite number; download it again.")
        }
        return value
    }
}
