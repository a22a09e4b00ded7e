import Sentences
import StrictJSON

/// The pipeline of diffusers in the `_class_name` of a `model_index.json`.
///
/// One checkpoint serves all pipelines of its family: text, picture, inpainting. A pipeline that adds something to a supported
/// base (ControlNet, perturbed-attention guidance, safe guidance and others) is taken for the base. So is a name with unknown
/// words, if the folder's networks have the base's classes: people write their own pipelines.
struct PipelineClass {
    /// Additions of the pipeline that renders leave out.
    private let leftOut: [String]

    /// Reads the class of a model's pipeline; nil for a folder that names none. Throws `.unsupportedModel`, or `.malformed` for
    /// an invalid name.
    init?(_ source: ModelSource) throws(WeightsError) {
        guard source.exists("model_index.json") else { return nil }
        let index = try source.json("model_index.json")
        guard let name = try PipelineClass.name(index, source), !name.isEmpty else { return nil }
        let foreign = PipelineClass.foreign.first { name.hasPrefix($0.prefix) }
        guard foreign == nil, let words = PipelineWords(name),
            words.namesBase && words.unknown.isEmpty || PipelineClass.hasNetworksOfBase(index)
        else {
            let kind = foreign.map { " (\($0.name))" } ?? ""
            throw .unsupportedModel(
                "\(source.name) is made for the pipeline \(quoted(String(name.prefix(80))))\(kind), which is not supported: choose a "
                    + "model of \(ModelFamily.names("or")).")
        }
        leftOut = words.additions + words.unknown.map { "\"\($0)\"" } + PipelineClass.otherNetworks(index)
    }

    /// The note on the additions that are left out; nil if there are none.
    func note(_ model: String) -> String? {
        guard let last = leftOut.last else { return nil }
        let all = leftOut.count == 1 ? last : leftOut.dropLast().joined(separator: ", ") + " and " + last
        return
            "\(model) is made for a pipeline with \(all), which \(leftOut.count == 1 ? "is" : "are") left out: the picture is "
            + "that of the base model"
    }

    /// The name of the class. diffusers writes a user's own pipeline as `["its_module", "ItsClass"]`.
    static func name(_ index: JSONValue, _ source: ModelSource) throws(WeightsError) -> String? {
        guard let value = index["_class_name"], !value.isNull else { return nil }
        guard let name = value.stringValue ?? value.arrayValue?.last?.stringValue.flatMap({ $0.isEmpty ? nil : $0 }) else {
            throw .malformed(
                "\(source.location(of: "model_index.json")): _class_name is neither the name of a pipeline nor a list that ends with "
                    + "one; download the file again.")
        }
        return name
    }

    /// The classes of the base's networks, in diffusers and transformers.
    private static let networks: [(component: String, name: String)] = [
        ("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", "CLIPTextModel"),
        ("text_encoder_2", "CLIPTextModelWithProjection"),
    ]
    /// Components of the base's pipelines, and components that the words of a name announce.
    private static let usual: Set<String> = [
        "adapter", "controlnet", "feature_extractor", "image_encoder", "safety_checker", "scheduler", "text_encoder",
        "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae", "watermark",
    ]

    /// Whether the networks have the base's classes.
    private static func hasNetworksOfBase(_ index: JSONValue) -> Bool {
        networks.allSatisfy { component, name in
            guard let found = index[component], found != [.null, .null], !found.isNull else {
                return component == "text_encoder_2"
            }
            return found.arrayValue?.last == .string(name) || found.arrayValue?.last == .string("Flax" + name)
        }
    }

    /// Additional components that have a class and a library.
    private static func otherNetworks(_ index: JSONValue) -> [String] {
        let names = (index.objectValue?.keys.sorted() ?? []).filter { key in
            guard !usual.contains(key), !key.hasPrefix("_"), let pair = index[key]?.arrayValue else { return false }
            return pair.count == 2 && pair.allSatisfy { $0.stringValue != nil }
        }
        return names.prefix(5).map { "the component \(quoted($0))" } + (names.count > 5 ? ["\(names.count - 5) more"] : [])
    }

    /// Unsupported families, by the beginning of their pipelines' names.
    private static let foreign: [(prefix: String, name: String)] = [
        ("StableDiffusion3", "Stable Diffusion 3"), ("StableDiffusionXLInstructPix2Pix", "InstructPix2Pix"),
        ("StableDiffusionInstructPix2Pix", "InstructPix2Pix"), ("StableDiffusionUpscale", "the ×4 upscaler"),
        ("StableDiffusionLatentUpscale", "the latent upscaler"), ("StableDiffusionDepth2Img", "depth to image"),
        ("StableDiffusionGLIGEN", "GLIGEN"), ("StableDiffusionImageVariation", "image variations"),
        ("StableDiffusionLDM3D", "LDM3D"), ("StableUnCLIP", "unCLIP"), ("OnnxStableDiffusion", "ONNX"),
        ("StableDiffusionOnnx", "ONNX"), ("StableDiffusionVideo", "video"), ("StableVideoDiffusion", "video"),
        ("AltDiffusion", "AltDiffusion"), ("AnimateDiff", "AnimateDiff"), ("Flux", "FLUX"),
        ("PixArt", "PixArt"), ("StableCascade", "Stable Cascade"), ("Kandinsky", "Kandinsky"), ("HunyuanDiT", "Hunyuan-DiT"),
        ("Hunyuan", "Hunyuan"), ("AuraFlow", "AuraFlow"), ("Sana", "SANA"), ("QwenImage", "Qwen-Image"), ("Wan", "Wan"),
        ("Lumina", "Lumina"), ("Chroma", "Chroma"), ("LatentConsistencyModel", "a latent consistency model"),
        ("IF", "DeepFloyd IF"),
    ]
}

/// The words in the name of a pipeline around Stable Diffusion.
private struct PipelineWords {
    /// Whether the name says that the base is Stable Diffusion.
    var namesBase = true
    /// Additions to the base by known words, in the order of the name.
    private(set) var additions: [String] = []
    /// Unknown words, in the same order.
    private(set) var unknown: [String] = []

    /// Words with their additions to the base, nil if the base does it too. A longer word stands before its beginning.
    private static let words: [(word: String, addition: String?)] = [
        ("Pipeline", nil), ("Img2Img", nil), ("Inpainting", nil), ("Inpaint", nil), ("Legacy", nil), ("KDiffusion", nil),
        ("LongPromptWeighting", nil), ("Mega", nil),
        ("ControlNetXS", "a ControlNet-XS"), ("ControlNetUnion", "a ControlNet"), ("ControlNet", "a ControlNet"),
        ("Adapter", "a T2I adapter"), ("PAG", "perturbed-attention guidance"), ("SAG", "self-attention guidance"),
        ("Safe", "safe guidance"), ("Panorama", "panorama views"), ("Paradigms", "parallel sampling"),
        ("AttendAndExcite", "attend-and-excite guidance"), ("DiffEdit", "DiffEdit's masks"),
        ("ModelEditing", "edits of the model"), ("Pix2PixZero", "pix2pix-zero guidance"),
        ("Reference", "a reference picture"), ("HDPainter", "HD-Painter's guidance"), ("Tiling", "seamless tiling"),
        ("Differential", "a strength for each pixel"),
    ]
    /// Beginnings of names with their additions.
    private static let beginnings: [(word: String, addition: String?)] =
        ModelFamily.all.map { ($0.pipeline, nil) } + [
            ("SDXL", nil), ("DiffusionPipeline", nil),
            ("CycleDiffusion", "CycleDiffusion's coupled noise"), ("SemanticStableDiffusionXL", "semantic guidance"),
            ("SemanticStableDiffusion", "semantic guidance"), ("FlaxStableDiffusionXL", nil), ("FlaxStableDiffusion", nil),
            ("LEditsPPPipelineStableDiffusionXL", "LEDITS++"), ("LEditsPPPipelineStableDiffusion", "LEDITS++"),
        ]

    /// Reads the name of a class; nil unless it is the name of a pipeline around Stable Diffusion.
    init?(_ name: String) {
        guard isWord(name, and: "_"), name.utf8.count <= 80, name.contains("Pipeline") else { return nil }
        guard let (word, addition) = Self.beginnings.first(where: { name.hasPrefix($0.word) }) else { return nil }
        namesBase = word != "DiffusionPipeline"
        additions = addition.map { [$0] } ?? []
        var rest = name.dropFirst(word.count)
        // A number stands for another generation of models.
        guard rest.first?.isNumber != true else { return nil }
        var other = ""
        while let character = rest.first {
            guard let (word, addition) = Self.words.first(where: { rest.hasPrefix($0.word) }) else {
                other.append(character)
                rest = rest.dropFirst()
                continue
            }
            rest = rest.dropFirst(word.count)
            flush(&other)
            if let addition, !additions.contains(addition) { additions.append(addition) }
        }
        flush(&other)
    }

    private mutating func flush(_ word: inout String) {
        if !word.isEmpty { unknown.append(word) }
        word = ""
    }
}
