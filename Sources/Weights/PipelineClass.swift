import StrictJSON

extension ModelSource {
    /// Refuses pipelines of diffusers that cannot be run, by name, before other files are looked at. A folder that does not say
    /// what it is for is let in.
    ///
    /// Throws `.unsupportedModel`.
    func checkPipeline() throws(WeightsError) { _ = try PipelineClass(self) }
}

/// What the `_class_name` of a `model_index.json` says: which pipeline of diffusers a folder is for.
///
/// One checkpoint serves all pipelines of its family: text, picture, inpainting. Pipelines that add something to a base which
/// can be rendered (ControlNet, perturbed-attention guidance, safe guidance and others) are taken for the base.
struct PipelineClass {
    /// What the pipeline adds and pictures are made without; nil for a plain one.
    let leftOut: String?

    /// nil for a folder that does not say what it is for. Throws `.unsupportedModel`.
    init?(_ source: ModelSource) throws(WeightsError) {
        guard source.exists("model_index.json"), let name = try source.json("model_index.json")["_class_name"]?.stringValue
        else { return nil }
        guard let additions = PipelineClass.additions(name) else {
            let kind = PipelineClass.foreign.first { name.hasPrefix($0.prefix) }.map { " (\($0.name))" } ?? ""
            throw WeightsError(
                .unsupportedModel,
                "\(source.name) is a \(name.prefix(80))\(kind), which is not supported: choose a model of Stable Diffusion 1.x, 2.x "
                    + "or XL.")
        }
        leftOut = additions.isEmpty ? nil : additions.joined(separator: " and ")
    }

    /// Words that classes of pipelines are composed of, longer ones before those they begin with, and what each adds to the
    /// base; nil for what every base does.
    private static let words: [(word: String, addition: String?)] = [
        ("Img2Img", nil), ("Inpainting", nil), ("Inpaint", nil), ("Legacy", nil), ("KDiffusion", nil),
        ("LongPromptWeighting", nil),
        ("ControlNetXS", "a ControlNet-XS"), ("ControlNetUnion", "a ControlNet"), ("ControlNet", "a ControlNet"),
        ("Adapter", "a T2I adapter"), ("PAG", "perturbed-attention guidance"), ("SAG", "self-attention guidance"),
        ("Safe", "safe guidance"), ("Panorama", "panorama views"), ("Paradigms", "parallel sampling"),
        ("AttendAndExcite", "attend-and-excite guidance"), ("DiffEdit", "DiffEdit's masks"),
        ("ModelEditing", "edits of the model"), ("Pix2PixZero", "pix2pix-zero guidance"),
    ]
    /// Words before `StableDiffusion`.
    private static let beginnings: [(word: String, addition: String?)] = [
        ("Semantic", "semantic guidance"), ("Flax", nil), ("LEditsPPPipeline", "LEDITS++"),
    ]

    /// What the pipeline adds to its base, in the order of its name; nil for a pipeline of another kind.
    private static func additions(_ name: String) -> [String]? {
        var rest = name[...]
        var additions: [String] = []
        if let (word, addition) = beginnings.first(where: { rest.hasPrefix($0.word) }) {
            rest = rest.dropFirst(word.count)
            additions += addition.map { [$0] } ?? []
        }
        guard rest.hasPrefix("StableDiffusion") else { return nil }
        rest = rest.dropFirst("StableDiffusion".count)
        if rest.hasPrefix("XL") { rest = rest.dropFirst(2) }
        while !rest.isEmpty {
            if rest.hasPrefix("Pipeline") {
                rest = rest.dropFirst("Pipeline".count)
                continue
            }
            guard let (word, addition) = words.first(where: { rest.hasPrefix($0.word) }) else { return nil }
            rest = rest.dropFirst(word.count)
            if let addition, !additions.contains(addition) { additions.append(addition) }
        }
        return name.contains("Pipeline") ? additions : nil
    }

    /// Families that people may try, by the beginning of their pipelines' names.
    private static let foreign: [(prefix: String, name: String)] = [
        ("StableDiffusion3", "Stable Diffusion 3"), ("StableDiffusionXLInstructPix2Pix", "InstructPix2Pix"),
        ("StableDiffusionInstructPix2Pix", "InstructPix2Pix"), ("StableDiffusionUpscale", "the ×4 upscaler"),
        ("StableDiffusionLatentUpscale", "the latent upscaler"), ("StableDiffusionDepth2Img", "depth to image"),
        ("StableDiffusionGLIGEN", "GLIGEN"), ("StableDiffusionImageVariation", "image variations"),
        ("StableDiffusionLDM3D", "LDM3D"), ("StableUnCLIP", "unCLIP"), ("OnnxStableDiffusion", "ONNX"),
        ("StableDiffusionOnnx", "ONNX"), ("AltDiffusion", "AltDiffusion"), ("AnimateDiff", "AnimateDiff"), ("Flux", "FLUX"),
        ("PixArt", "PixArt"), ("StableCascade", "Stable Cascade"), ("Kandinsky", "Kandinsky"), ("HunyuanDiT", "Hunyuan-DiT"),
        ("Hunyuan", "Hunyuan"), ("AuraFlow", "AuraFlow"), ("Sana", "SANA"), ("QwenImage", "Qwen-Image"), ("Wan", "Wan"),
        ("Lumina", "Lumina"), ("Chroma", "Chroma"), ("LatentConsistencyModel", "a latent consistency model"),
        ("IF", "DeepFloyd IF"),
    ]
}
