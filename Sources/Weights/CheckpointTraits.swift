import Glibc
import StrictJSON
import TensorCore

/// What a U-Net predicts, in diffusers' words.
public enum UNetPrediction: String, Sendable, CaseIterable {
    case epsilon
    case velocity = "v_prediction"

    /// Reads diffusers' word or that of stable-diffusion.cpp (`eps`, `v`).
    public init?(option: String) {
        switch option {
        case "epsilon", "eps": self = .epsilon
        case "v_prediction", "v-prediction", "v": self = .velocity
        default: return nil
        }
    }
}

/// The families of models that are run.
public enum CheckpointFamily: String, Sendable, CaseIterable {
    case stableDiffusion1 = "Stable Diffusion 1.x"
    case stableDiffusion2 = "Stable Diffusion 2.x"
    case stableDiffusionXL = "Stable Diffusion XL"
}

/// What the tensors and the metadata of a single-file checkpoint say about the model. The file's name is never looked at.
struct CheckpointTraits: Equatable {
    let family: CheckpointFamily
    /// Channels that the U-Net takes: 4, or 9 for inpainting.
    let inputChannels: Int
    /// Whether there is a mark that says what the U-Net predicts; nil when there is none.
    let prediction: UNetPrediction?
    /// Native side in pixels, where the metadata has it.
    let resolution: Int?
    /// Whether the betas were rescaled to a last step of pure noise.
    let hasZeroSNR: Bool
    /// Whether it is SD-Turbo: Stable Diffusion 2 with its text encoder under the names of XL's.
    let isTurbo: Bool
    /// Mean and standard deviation of the latents, by channel: the mark of EDM training (Playground v2.5).
    let latentStatistics: (mean: [Float], deviation: [Float])?

    static let unetPrefix = "model.diffusion_model."
    static let vaePrefix = "first_stage_model."
    /// Where Stable Diffusion 2 has its text encoder, and where SD-Turbo has it.
    static let secondTextPrefix = "cond_stage_model.model."
    static let turboTextPrefix = "conditioner.embedders.0.model."

    static func == (a: CheckpointTraits, b: CheckpointTraits) -> Bool {
        a.family == b.family && a.inputChannels == b.inputChannels && a.prediction == b.prediction
            && a.resolution == b.resolution && a.hasZeroSNR == b.hasZeroSNR && a.isTurbo == b.isTurbo
            && a.latentStatistics?.mean == b.latentStatistics?.mean
            && a.latentStatistics?.deviation == b.latentStatistics?.deviation
    }

    /// Recognises the model.
    ///
    /// Throws `.unsupportedModel` that names a family which is not run, or says what is missing.
    init(_ file: SafetensorsFile) throws(WeightsError) {
        if let family = ForeignFamily.recognise(file) { throw family.refusal(file.name) }
        let inputKey = CheckpointTraits.unetPrefix + "input_blocks.0.0.weight"
        guard let input = file.tensors[inputKey]?.shape, input.count == 4 else {
            throw WeightsError(
                .unsupportedModel,
                "\(file.name) is no Stable Diffusion checkpoint: it has no convolution \(inputKey); name a checkpoint of Stable "
                    + "Diffusion 1.x, 2.x or XL, or a model folder in diffusers' layout.")
        }
        inputChannels = input[1]
        family = try CheckpointTraits.family(file)
        guard [4, 9].contains(inputChannels) else {
            let known = [5: "depth-to-image", 7: "upscaling", 8: "instruction (InstructPix2Pix)"]
            let kind = known[inputChannels].map { "\($0) model, which is" } ?? "kind that is"
            throw WeightsError(
                .unsupportedModel,
                "\(file.name): its U-Net takes \(inputChannels) channels, a \(kind) not supported; use a model with 4, or 9 for "
                    + "inpainting.")
        }
        hasZeroSNR = file.tensors["ztsnr"] != nil
        isTurbo = family == .stableDiffusion2 && CheckpointTraits.has(CheckpointTraits.turboTextPrefix, file)
        prediction = CheckpointTraits.prediction(file) ?? (isTurbo ? .epsilon : nil)
        resolution = CheckpointTraits.resolution(file)
        latentStatistics = try CheckpointTraits.latentStatistics(file)
    }

    /// Throws `.unusedTensors` for a configuration of another family or with other input channels than the tensors have.
    func check(against configuration: FileStore, _ name: String) throws(WeightsError) {
        let unet = try configuration.json("unet/config.json")
        let isXL = unet["addition_embed_type"]?.stringValue == "text_time"
        let isSecond = unet["use_linear_projection"]?.boolValue == true
        let described: CheckpointFamily = isXL ? .stableDiffusionXL : isSecond ? .stableDiffusion2 : .stableDiffusion1
        let channels = unet["in_channels"]?.intValue ?? 4
        guard described == family, channels == inputChannels else {
            throw WeightsError(
                .unusedTensors,
                "\(name) is a \(family.rawValue) model that takes \(inputChannels) channels, but the configuration is one of "
                    + "\(described.rawValue) with \(channels); name a folder of the same family by --model-config.")
        }
    }

    /// By the text encoders, and for XL by the width of its size and pooled-text conditioning.
    private static func family(_ file: SafetensorsFile) throws(WeightsError) -> CheckpointFamily {
        if file.tensors[unetPrefix + "label_emb.0.0.weight"] != nil {
            guard has("conditioner.embedders.0.transformer.", file), has("conditioner.embedders.1.model.", file) else {
                throw missingText(file, "the two text encoders of a Stable Diffusion XL model")
            }
            return .stableDiffusionXL
        }
        if has(secondTextPrefix, file) || has(turboTextPrefix, file) { return .stableDiffusion2 }
        if has("cond_stage_model.transformer.", file) { return .stableDiffusion1 }
        throw missingText(file, "a text encoder (cond_stage_model)")
    }

    private static func has(_ prefix: String, _ file: SafetensorsFile) -> Bool {
        file.tensors.keys.contains { $0.hasPrefix(prefix) }
    }

    private static func missingText(_ file: SafetensorsFile, _ what: String) -> WeightsError {
        WeightsError(
            .unsupportedModel, "\(file.name) does not hold \(what); use a complete checkpoint or a model folder.")
    }

    /// Steps of training of Stable Diffusion 2.0 base, which its file and fine-tunes of it hold as `global_step`.
    private static let stepsOfBase = 875_000

    /// The tensor `v_pred` is how trainers mark the other kind; the ModelSpec metadata standard is Stability AI's; of Stable
    /// Diffusion 2, diffusers knows the 512 px base by its number of training steps.
    private static func prediction(_ file: SafetensorsFile) -> UNetPrediction? {
        if file.tensors["v_pred"] != nil { return .velocity }
        switch file.metadata["modelspec.prediction_type"]?.lowercased() {
        case "epsilon", "eps": return .epsilon
        case "v", "v_prediction", "v-prediction": return .velocity
        default: break
        }
        switch file.metadata["modelspec.architecture"]?.lowercased() {
        case "stable-diffusion-v2-768-v": return .velocity
        case "stable-diffusion-v2-512": return .epsilon
        default: break
        }
        return steps(file) == stepsOfBase ? .epsilon : nil
    }

    /// The number of training steps, where it is one whole number.
    private static func steps(_ file: SafetensorsFile) -> Int? {
        guard let stored = file.tensors["global_step"], stored.count == 1, !stored.elementType.isFloatingPoint else {
            return nil
        }
        return (try? file.integers("global_step"))?.first
    }

    /// `768x768` or `768`; other forms, and sides that no latent has, are not a hint.
    private static func resolution(_ file: SafetensorsFile) -> Int? {
        guard let text = file.metadata["modelspec.resolution"] else { return nil }
        let sides = text.split(separator: "x", omittingEmptySubsequences: false).map { Int($0) }
        guard (1...2).contains(sides.count), let side = sides.first ?? nil, sides.allSatisfy({ $0 == side }),
            (64...4096).contains(side), side % 64 == 0
        else { return nil }
        return side
    }

    private static func latentStatistics(
        _ file: SafetensorsFile
    ) throws(WeightsError) -> (mean: [Float], deviation: [Float])? {
        guard file.tensors["edm_mean"] != nil || file.tensors["edm_std"] != nil else { return nil }
        let broken = WeightsError(
            .malformed, "\(file.name): edm_mean and edm_std must be four numbers each, the latter above 0; download it again.")
        guard file.tensors["edm_mean"]?.count == 4, file.tensors["edm_std"]?.count == 4 else { throw broken }
        let (mean, deviation) = (try file.tensor("edm_mean").array, try file.tensor("edm_std").array)
        guard mean.allSatisfy(\.isFinite), deviation.allSatisfy({ $0.isFinite && $0 > 0 }) else { throw broken }
        return (mean, deviation)
    }
}

/// Models, and parts of models, that are no checkpoint of a family that is run, by what their tensors are called.
struct ForeignFamily {
    let what: String
    let remedy: String

    /// By a piece of a name that no supported checkpoint has.
    private static let marks: [(mark: String, what: String)] = [
        ("joint_blocks.", "a Stable Diffusion 3 model"), ("double_blocks.", "a Flux model, or one of its kin"),
        ("double_layers.", "an AuraFlow model"), ("adaln_single.", "a PixArt model"), ("mlp_t5.", "a Hunyuan-DiT model"),
        ("clip_txt_mapper.", "a Stable Cascade model"), ("clip_txt_pooled_mapper.", "a Stable Cascade model"),
        ("effnet_mapper.", "a Würstchen or Stable Cascade model"), (".time_stack.", "a Stable Video Diffusion model"),
        (".time_mixer.", "a Stable Video Diffusion model"), ("cap_embedder.", "a Lumina model"),
        ("motion_modules.", "an AnimateDiff motion module"), ("edm_vpred.sigma_max", "a CosXL model"),
        ("control_model.", "a ControlNet"), ("input_hint_block.", "a ControlNet"),
        ("controlnet_cond_embedding.", "a ControlNet"), ("embedder.model.visual.", "an unCLIP model"),
    ]

    private static let others = "Patchloom runs Stable Diffusion 1.x, 2.x and XL"

    static func recognise(_ file: SafetensorsFile) -> ForeignFamily? {
        let keys = file.tensors.keys
        for (mark, what) in marks where keys.contains(where: { strstr($0, mark) != nil }) {
            return ForeignFamily(what: what, remedy: others)
        }
        if keys.contains(where: { $0.hasPrefix("single_transformer_blocks.") }) {
            return ForeignFamily(what: "a Flux model, or one of its kin", remedy: others)
        }
        if keys.contains(where: { $0.hasPrefix("transformer_blocks.") }) {
            return ForeignFamily(what: "a transformer, such as Stable Diffusion 3's", remedy: others)
        }
        if keys.contains(where: { $0.hasPrefix("lora_") || strstr($0, ".lora_") != nil || $0.hasSuffix(".lora_down.weight") }) {
            return ForeignFamily(what: "a LoRA", remedy: "name the checkpoint it belongs to by -m, and the file by --lora")
        }
        let hasUNet = keys.contains { $0.hasPrefix(CheckpointTraits.unetPrefix) }
        if let label = file.tensors[CheckpointTraits.unetPrefix + "label_emb.0.0.weight"]?.shape {
            let isRefiner =
                label.last == 2560
                || keys.contains { $0.hasPrefix("conditioner.embedders.0.model.") }
                    && !keys.contains { $0.hasPrefix("conditioner.embedders.1.") }
            if isRefiner { return ForeignFamily(what: "the refiner of Stable Diffusion XL", remedy: "use the base model") }
            if !keys.contains(where: { $0.hasPrefix("conditioner.") }),
                keys.contains(where: { $0.hasPrefix("cond_stage_model.") })
            {
                return ForeignFamily(what: "an unCLIP model", remedy: others)
            }
        }
        if hasUNet { return nil }
        if keys.contains(where: { $0.hasPrefix("down_blocks.") }) {
            return ForeignFamily(what: "a U-Net only", remedy: "name the model folder that it belongs to")
        }
        let isVAE = keys.contains { $0.hasPrefix("decoder.") || $0.hasPrefix(CheckpointTraits.vaePrefix) }
        return isVAE ? ForeignFamily(what: "an autoencoder only", remedy: "name it by --vae, beside a model") : nil
    }

    func refusal(_ name: String) -> WeightsError {
        WeightsError(.unsupportedModel, "\(name) is \(what), which cannot be rendered with; \(remedy).")
    }
}
