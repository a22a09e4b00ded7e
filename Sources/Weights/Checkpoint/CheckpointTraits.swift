import Glibc
import Sentences
import StrictJSON
import TensorCore

/// The prediction types of a U-Net, in diffusers' words.
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

/// Facts about a model from the tensors and the metadata of its single-file checkpoint; the file's name does not count.
struct CheckpointTraits: Equatable {
    let family: ModelFamily
    /// Input channels of the U-Net: 4, or 9 for inpainting.
    let inputChannels: Int
    /// Whether it is the family's distilled model, recognised by the place of its text encoder.
    let isDistilled: Bool
    let marks: ModelMarks

    static let unetPrefix = "model.diffusion_model."
    static let vaePrefix = "first_stage_model."

    /// Throws `.unsupportedModel` with the unsupported family or the missing part, and `.unsupportedFormat` for quantised
    /// weights.
    init(_ file: SafetensorsFile) throws(WeightsError) {
        if let family = ForeignFamily.recognise(file) { throw family.refusal(file.name) }
        try WeightScales.refuseQuantised(file, isPart: Checkpoint.isPart)
        let inputKey = CheckpointTraits.unetPrefix + "input_blocks.0.0.weight"
        guard let input = file.tensors[inputKey]?.shape, input.count == 4 else {
            throw .unsupportedModel(
                "\(file.name) is no Stable Diffusion checkpoint: it has no convolution \(inputKey); name a checkpoint of "
                    + "\(ModelFamily.names("or")), or a model folder in diffusers' layout.")
        }
        inputChannels = input[1]
        family = try CheckpointTraits.family(file)
        guard [4, 9].contains(inputChannels) else {
            let known = [5: "a depth-to-image model", 7: "an upscaling model", 8: "an InstructPix2Pix model"]
            let kind = known[inputChannels].map { ", as \($0) does" } ?? ""
            throw .unsupportedModel(
                "\(file.name): its U-Net takes \(inputChannels) channels\(kind), which is not supported; use a model whose U-Net "
                    + "takes 4, or 9 for inpainting.")
        }
        isDistilled = family.distilledTextPrefix.map { prefix in file.tensors.keys.contains { $0.hasPrefix(prefix) } } ?? false
        marks = try ModelMarks(file, family)
    }

    /// The traits of a family's published base model.
    init(published family: ModelFamily) { (self.family, inputChannels, isDistilled, marks) = (family, 4, false, ModelMarks()) }

    /// Throws `.unusedTensors` for a configuration of another family or with other input channels.
    func check(against configuration: FileStore, _ name: String) throws(WeightsError) {
        let unet = try configuration.json("unet/config.json")
        let described = ModelFamily(unet: unet)
        let channels = unet["in_channels"]?.intValue ?? 4
        guard described == family, channels == inputChannels else {
            throw .unusedTensors(
                "\(name) is a \(family.name) model that takes \(inputChannels) channels, but the configuration is one of "
                    + "\(described.name) with \(channels); name a folder of the same family by \(.modelConfig).")
        }
    }

    /// The family, by its text encoders and by whether its U-Net takes a pooled text.
    private static func family(_ file: SafetensorsFile) throws(WeightsError) -> ModelFamily {
        let hasPooledConditioning = file.tensors[unetPrefix + "label_emb.0.0.weight"] != nil
        let families = ModelFamily.all.filter { $0.hasPooledConditioning == hasPooledConditioning }
        if let family = families.first(where: { $0.texts.allSatisfy { $0.isIn(file) } }) { return family }
        let missing =
            hasPooledConditioning ? "the two text encoders of a Stable Diffusion XL model" : "a text encoder (cond_stage_model)"
        throw .unsupportedModel("\(file.name) does not hold \(missing); use a complete checkpoint or a model folder.")
    }
}

/// Recognises unsupported models and parts of models by the names of their tensors.
struct ForeignFamily {
    let what: String
    var remedy: Sentence = "Patchloom runs \(ModelFamily.names("and"))"

    /// Parts of names that no supported checkpoint has.
    private static let marks: [(mark: String, what: String)] = [
        ("joint_blocks.", "a Stable Diffusion 3 model"), ("double_blocks.", "a Flux model, or one of its kin"),
        ("double_layers.", "an AuraFlow model"), ("adaln_single.", "a PixArt model"), ("mlp_t5.", "a Hunyuan-DiT model"),
        ("clip_txt_mapper.", "a Stable Cascade model"), ("clip_txt_pooled_mapper.", "a Stable Cascade model"),
        ("effnet_mapper.", "a Würstchen or Stable Cascade model"), (".time_stack.", "a Stable Video Diffusion model"),
        (".time_mixer.", "a Stable Video Diffusion model"), ("cap_embedder.", "a Lumina model"),
        ("motion_modules.", "an AnimateDiff motion module"), ("edm_vpred.sigma_max", "a CosXL model"),
        ("embedder.model.visual.", "an unCLIP model"),
    ]
    /// The same for parts that may lie beside a whole model, which works without them.
    private static let besides: [(mark: String, what: String)] = [
        ("control_model.", "a ControlNet"), ("input_hint_block.", "a ControlNet"),
        ("controlnet_cond_embedding.", "a ControlNet"),
    ]

    private static let beginnings: [(prefix: String, what: String)] = [
        ("single_transformer_blocks.", "a Flux model, or one of its kin"),
        ("transformer_blocks.", "a transformer, such as Stable Diffusion 3's"),
    ]

    /// Recognises an unsupported file; nil for a checkpoint of a family that may be supported.
    static func recognise(_ file: SafetensorsFile) -> ForeignFamily? {
        let keys = file.tensors.keys
        func has(_ prefix: String) -> Bool { keys.contains { $0.hasPrefix(prefix) } }
        let hasUNet = has(CheckpointTraits.unetPrefix)
        for (mark, what) in marks + (hasUNet ? [] : besides) where keys.contains(where: { strstr($0, mark) != nil }) {
            return ForeignFamily(what: what)
        }
        if let (_, what) = beginnings.first(where: { has($0.prefix) }) { return ForeignFamily(what: what) }
        if !hasUNet, has("lora_") || keys.contains(where: { strstr($0, ".lora_") != nil }) {
            return ForeignFamily(
                what: "a LoRA", remedy: "name the checkpoint it belongs to by \(.briefModel), and the file by \(.lora)")
        }
        if let label = file.tensors[CheckpointTraits.unetPrefix + "label_emb.0.0.weight"]?.shape {
            let isRefiner =
                label.last == 2560 || has("conditioner.embedders.0.model.") && !has("conditioner.embedders.1.")
            if isRefiner { return ForeignFamily(what: "the refiner of Stable Diffusion XL", remedy: "use the base model") }
            if !has("conditioner."), has("cond_stage_model.") { return ForeignFamily(what: "an unCLIP model") }
        }
        return hasUNet ? nil : partial(keys.sorted())
    }

    /// Refuses networks without a U-Net at a checkpoint's place; nil if no network is recognised.
    private static func partial(_ names: [String]) -> ForeignFamily? {
        let unet = names.lazy.compactMap(wordsBeforeUNet).first
        let hasVAE = names.contains(where: isOfVAE)
        let hasText = names.contains(where: isOfTextEncoder)
        let remedy: Sentence = "name a complete checkpoint in the original layout, or a model folder in diffusers' layout"
        let place = "\"\(CheckpointTraits.unetPrefix)\""
        switch (unet, hasVAE, hasText) {
        case (nil, true, false): return ForeignFamily(what: "an autoencoder only", remedy: "name it by \(.vae), beside a model")
        case (nil, false, true):
            return ForeignFamily(what: "a text encoder only", remedy: "name the model folder that it belongs to")
        case (nil, true, true):
            return ForeignFamily(what: "an autoencoder and a text encoder, without a U-Net under \(place)", remedy: remedy)
        case (let words?, _, _):
            let found = words.isEmpty ? "under no prefix" : "under \(quoted(words))"
            guard hasVAE || hasText else {
                return ForeignFamily(what: "a U-Net only (\(found))", remedy: "name the complete model that it belongs to")
            }
            // A new prefix does not turn diffusers' names into a checkpoint in the original layout.
            let isRenamed = words == "diffusion_model." && names.contains { $0.hasPrefix("diffusion_model.input_blocks.") }
            return ForeignFamily(
                what: "a file of several networks with its U-Net \(found) instead of under \(place)",
                remedy: isRenamed ? "write \(place) for \(quoted(words)) in the names of its tensors, or \(remedy)" : remedy)
        case (nil, false, false): return nil
        }
    }

    /// The prefix of a U-Net's tensor in the original naming or diffusers'; nil for other tensors.
    private static func wordsBeforeUNet(_ name: String) -> String? {
        for mark in ["input_blocks.", "down_blocks.", "diffusion_modelinput_blocks"] {
            guard let range = name.firstRange(of: mark) else { continue }
            // Other networks have blocks of the same name, an autoencoder's encoder among them.
            let words = name[..<range.lowerBound]
            let ends = ["unet.", "model.", "module.", "state_dict.", "model_ema."]
            return words.isEmpty || ends.contains(where: words.hasSuffix) ? String(words) : nil
        }
        return nil
    }

    /// Whether a tensor belongs to an autoencoder, in diffusers' naming or LDM's, with any prefix.
    private static func isOfVAE(_ name: String) -> Bool {
        if name.hasPrefix("decoder.") || name.hasPrefix(CheckpointTraits.vaePrefix) { return true }
        return ["decoder.conv_in.", "decoder.up_blocks.", "decoder.up."].contains { mark in strstr(name, "." + mark) != nil }
    }

    /// Whether a tensor belongs to a text encoder, in transformers' naming or OpenCLIP's, with any prefix.
    private static func isOfTextEncoder(_ name: String) -> Bool {
        let marks = ["text_model.encoder.layers.", "text_model.embeddings.", "transformer.resblocks."]
        return marks.contains { mark in strstr(name, mark) != nil }
    }

    func refusal(_ name: String) -> WeightsError {
        WeightsError.unsupportedModel("\(name) is \(what), which Patchloom cannot use as a model; \(remedy).")
    }
}
