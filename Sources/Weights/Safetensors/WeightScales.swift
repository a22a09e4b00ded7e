import Glibc
import Sentences
import StrictJSON
import TensorCore

/// The scales of 8-bit weights, one number for each tensor: `layer.scale_weight` (ComfyUI's scaled F8 files) or
/// `layer.weight_scale`. Scales of inputs (`scale_input`, `input_scale`) and the mark `scaled_fp8` are ignored: they matter
/// only for products in 8 bits. The mark `layer.comfy_quant` holds JSON that says how a layer is stored.
struct WeightScales {
    private static let endings = [".scale_weight", ".weight_scale"]
    private static let meaningless = [".scale_input", ".input_scale"]
    private static let mark = "scaled_fp8"
    /// Endings of tensor names in unsupported quantisations: scales of blocks, bitsandbytes, GPTQ and AWQ, Quanto.
    private static let unsupported = [
        ".weight_scale_inv", ".weight_scale_2", ".absmax", ".nested_absmax", ".quant_map", ".nested_quant_map", ".SCB",
        ".qweight", ".qzeros", ".g_idx", ".weight._data", ".weight._scale",
    ]
    private static let unsupportedState = ".quant_state."
    private static let layerMark = ".comfy_quant"
    /// The supported formats of marked layers, and the stored type of their weights.
    private static let formats: [String: StoredElementType] = ["float8_e4m3fn": .f8e4m3, "float8_e5m2": .f8e5m2]

    private var scaleOf: [String: String] = [:]
    /// Names of scales and marks, which are not tensors of a network.
    private(set) var handled: Set<String> = []

    /// - Parameter isPart: whether a name lies inside a network; scales of other tensors are ignored.
    /// - Throws: `.unsupportedFormat` for scales and formats of another kind, `.malformed` for a scale without its weight.
    init(_ file: SafetensorsFile, isPart: (String) -> Bool) throws(WeightsError) {
        try Self.refuseQuantised(file, isPart: isPart)
        for (key, stored) in file.tensors {
            if key == Self.mark || key.hasSuffix("." + Self.mark) || Self.meaningless.contains(where: { key.hasSuffix($0) }) {
                handled.insert(key)
            } else if key.hasSuffix(Self.layerMark) {
                guard isPart(key) else { continue }
                try Self.checkMark(key, file)
                handled.insert(key)
            } else if let ending = Self.endings.first(where: { key.hasSuffix($0) }), isPart(key) {
                guard stored.count > 0 else { continue }
                guard stored.count == 1 else {
                    throw .unsupportedFormat(
                        "\(file.name): \(quoted(file.nameInFile(key))) scales parts of a weight, but only one scale for each "
                            + "tensor is supported; take the model's F16 or F32 file.")
                }
                let weight = try Self.weight(key, ending, file)
                guard scaleOf.updateValue(key, forKey: weight) == nil else {
                    throw .malformed("\(file.name) holds two scales of \(quoted(file.nameInFile(weight))); download it again.")
                }
                handled.insert(key)
            }
        }
    }

    /// Throws `.unsupportedFormat` for an unsupported quantisation. Such weights have other shapes than the network's, so this
    /// must come before shapes are checked.
    static func refuseQuantised(_ file: SafetensorsFile, isPart: (String) -> Bool) throws(WeightsError) {
        let marks = file.tensors.filter { key, stored in
            let isMark = unsupported.contains { key.hasSuffix($0) } || strstr(key, unsupportedState) != nil
            return isMark && stored.count > 0 && isPart(key)
        }
        guard let key = marks.keys.min() else { return }
        throw .unsupportedFormat(
            "\(file.name): \(quoted(file.nameInFile(key))) says that a weight is quantised, but only one scale for each tensor of "
                + "F8_E4M3 or F8_E5M2 is supported; take the model's F16 or F32 file.")
    }

    func scale(of weight: String) -> String? { scaleOf[weight] }

    /// The name of the weight beside a scale or a mark. Throws if there is none.
    private static func weight(_ key: String, _ ending: String, _ file: SafetensorsFile) throws(WeightsError) -> String {
        let weight = key.dropLast(ending.count) + ".weight"
        guard file.tensors[String(weight)] != nil else {
            throw .malformed("\(file.name) holds \(quoted(file.nameInFile(key))) without its weight; download it again.")
        }
        return String(weight)
    }

    /// Reads `{"format": "float8_e4m3fn"}`. Other members do not change the numbers.
    private static func checkMark(_ key: String, _ file: SafetensorsFile) throws(WeightsError) {
        let weight = try weight(key, layerMark, file)
        let limits = JSONLimits(maxBytes: 4096, maxDepth: 8, maxElements: 256)
        let json = file.withBytes(of: key) { bytes, stored in
            stored.elementType == .u8 ? try? JSONValue(parsing: bytes, limits: limits) : nil
        }
        let mark = "\(file.name): \(quoted(file.nameInFile(key)))"
        guard let format = json??["format"]?.stringValue else {
            throw .malformed("\(mark) does not say the format of its layer; download it again.")
        }
        guard let type = formats[format] else {
            throw .unsupportedFormat(
                "\(mark) says that its layer is stored as \(quoted(format)), but only "
                    + "\(formats.keys.sorted().joined(separator: " and ")) can be read; take the model's F16 or F32 file.")
        }
        guard let found = file.tensors[weight]?.elementType, found == type else {
            throw .malformed(
                "\(mark) says that its layer is stored as \(quoted(format)), but \(quoted(file.nameInFile(weight))) is of "
                    + "another type; download it again.")
        }
    }

    /// The value of a scale. Throws `.malformed` unless it is finite and above 0. Beside a weight of zeros it may be 0:
    /// converters divide the largest value by the largest number of the type.
    static func value(_ key: String, of weight: String, in file: SafetensorsFile) throws(WeightsError) -> Float {
        let value = try file.tensor(key).array[0]
        if value == 0, try file.tensor(weight).array.allSatisfy({ $0 == 0 }) { return value }
        guard value.isFinite, value > 0 else {
            throw .malformed(
                "\(file.name): the scale \(quoted(file.nameInFile(key))) is \(value), not a finite number above 0; download it again."
            )
        }
        return value
    }
}

extension SafetensorsFile {
    /// A tensor times its scale, if it has one.
    func tensor(_ name: String, rows: Range<Int>? = nil, scale: String?) throws(WeightsError) -> Tensor {
        let tensor = try tensor(name, rows: rows)
        guard let scale else { return tensor }
        let factor = try WeightScales.value(scale, of: name, in: self)
        let values = tensor.elements(as: Float.self)
        for index in values.indices { values[index] *= factor }
        return tensor
    }
}
