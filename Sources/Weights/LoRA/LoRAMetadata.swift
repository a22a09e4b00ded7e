import Sentences
import StrictJSON

/// PEFT's settings in a LoRA file of diffusers, the entry `lora_adapter_metadata`: an object with keys such as
/// `unet.lora_alpha`. Files without it may have alphas as tensors; otherwise alpha is the rank.
struct LoRAMetadata {
    private struct Settings {
        var alpha: Double?
        /// Alphas of single layers, by the end of their path.
        var alphaPattern: [(ending: String, alpha: Double)] = []
        /// rsLoRA divides by the root of the rank (Kalajdzievski 2023, arXiv 2312.03732).
        var dividesByRoot = false
    }

    private var settings: [LoRANetwork: Settings] = [:]

    init(_ file: SafetensorsFile) throws(WeightsError) {
        guard let text = file.metadata["lora_adapter_metadata"] else { return }
        let reader = Reader(file: file.name)
        let json: JSONValue
        do { json = try JSONValue(parsing: Array(text.utf8), limits: .config) } catch { throw reader.wrong("is not JSON") }
        guard let object = json.objectValue else { throw reader.wrong("is \(json.kindName), not an object") }
        for network in LoRANetwork.allCases { settings[network] = try reader.settings(of: network, object) }
    }

    private struct Reader {
        let file: String

        func wrong(_ what: String) -> WeightsError {
            .malformed("\(file): its lora_adapter_metadata \(what); download it again or ask its author.")
        }

        func settings(of network: LoRANetwork, _ object: JSONObject) throws(WeightsError) -> Settings {
            let fields = JSONFields(object, nullIsAbsent: true) { [self] fault in wrong("has \(fault.found)") }
            func member<Value>(_ key: String, _ shape: JSONShape<Value>) throws(WeightsError) -> Value? {
                try fields.optional("\(network.rawValue).\(key)", shape)
            }
            if try member("use_dora", .flag()) == true {
                throw .unsupportedFormat("\(file) is a DoRA, which is not supported; choose a plain LoRA or LoCon.")
            }
            let alpha = JSONShape<Double>(.words("a number")) { value in value.doubleValue.flatMap { $0.isFinite ? $0 : nil } }
            var settings = Settings(
                alpha: try member("lora_alpha", alpha), dividesByRoot: try member("use_rslora", .flag()) ?? false)
            let patterns = JSONFields(try member("alpha_pattern", .object()) ?? JSONObject()) { [self] fault in
                wrong("has an alpha pattern with \(fault.found)")
            }
            for pattern in patterns.members.keys {
                guard isWord(pattern, and: "_.") else {
                    throw wrong("has the alpha pattern \(quoted(pattern)), which is not a plain path")
                }
                settings.alphaPattern.append((flat(pattern), try patterns.required(pattern, alpha)))
            }
            return settings
        }
    }

    /// The factor of a layer without an alpha tensor.
    func factor(_ network: LoRANetwork, layer: String, rank: Int) -> Double {
        guard let settings = settings[network] else { return 1 }
        let pattern = settings.alphaPattern.first { layer == $0.ending || layer.hasSuffix("_" + $0.ending) }
        guard let alpha = pattern?.alpha ?? settings.alpha else { return 1 }
        return alpha / (settings.dividesByRoot ? Double(rank).squareRoot() : Double(rank))
    }
}
