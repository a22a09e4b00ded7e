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
        func wrong(_ what: String) -> WeightsError {
            WeightsError.malformed("\(file.name): its lora_adapter_metadata \(what); download it again or ask its author.")
        }
        func number(_ alpha: JSONValue) throws(WeightsError) -> Double {
            guard let number = alpha.doubleValue, number.isFinite else { throw wrong("has an alpha that is not a number") }
            return number
        }
        let json: JSONValue
        do { json = try JSONValue(parsing: Array(text.utf8), limits: .config) } catch { throw wrong("is not JSON") }
        guard let object = json.objectValue else { throw wrong("is \(json.kindName), not an object") }
        for network in LoRANetwork.allCases {
            func member(_ key: String) -> JSONValue? {
                guard let value = object["\(network.rawValue).\(key)"], !value.isNull else { return nil }
                return value
            }
            var settings = Settings()
            if let alpha = member("lora_alpha") {
                settings.alpha = try number(alpha)
            }
            for (pattern, alpha) in member("alpha_pattern")?.objectValue ?? JSONObject() {
                guard isWord(pattern, and: "_.") else {
                    throw wrong("has the alpha pattern \(quoted(pattern)), which is not a plain path")
                }
                settings.alphaPattern.append((flat(pattern), try number(alpha)))
            }
            settings.dividesByRoot = member("use_rslora")?.boolValue ?? false
            if member("use_dora")?.boolValue == true {
                throw .unsupportedFormat("\(file.name) is a DoRA, which is not supported; choose a plain LoRA or LoCon.")
            }
            self.settings[network] = settings
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
