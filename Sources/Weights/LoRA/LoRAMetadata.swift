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
            WeightsError(.malformed, "\(file.name): its lora_adapter_metadata \(what); download it again or ask its author.")
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
                guard let number = alpha.doubleValue, number.isFinite else { throw wrong("has an alpha that is not a number") }
                settings.alpha = number
            }
            for (pattern, alpha) in member("alpha_pattern")?.objectValue ?? JSONObject() {
                guard let number = alpha.doubleValue, number.isFinite else { throw wrong("has an alpha that is not a number") }
                guard pattern.utf8.allSatisfy(Self.isPlain) else {
                    throw wrong("has the alpha pattern \(quoted(pattern)), which is not a plain path")
                }
                settings.alphaPattern.append((flat(pattern), number))
            }
            settings.dividesByRoot = member("use_rslora")?.boolValue ?? false
            if member("use_dora")?.boolValue == true {
                throw WeightsError(
                    .unsupportedFormat, "\(file.name) is a DoRA, which is not supported; choose a plain LoRA or LoCon.")
            }
            self.settings[network] = settings
        }
    }

    /// A letter, a digit, `_` or `.`: a pattern of these is a plain path.
    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "."):
            true
        default: false
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
