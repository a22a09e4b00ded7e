import StrictJSON

extension ModelSource {
    /// Refuses pipelines of diffusers that cannot be run, by name, before other files are looked at. A folder that does not say
    /// what it is for is let in.
    ///
    /// Throws `.unsupportedModel`.
    func checkPipeline() throws(WeightsError) { try PipelineClass.check(self) }
}

/// What the `_class_name` of a `model_index.json` says: which pipeline of diffusers a folder is for.
private enum PipelineClass {
    static func check(_ source: ModelSource) throws(WeightsError) {
        guard source.exists("model_index.json"),
            let name = try source.json("model_index.json")["_class_name"]?.stringValue, !supported.contains(name)
        else { return }
        let kind = foreign.first { name.hasPrefix($0.prefix) }.map { " (\($0.name))" } ?? ""
        throw WeightsError(
            .unsupportedModel,
            "\(source.name) is a \(name.prefix(80))\(kind), which is not supported: choose a model of Stable Diffusion 1.x, 2.x "
                + "or XL.")
    }

    /// One checkpoint serves all of a family's pipelines.
    private static let supported: Set<String> = [
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
        "StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline",
    ]

    /// Families that people may try, by the beginning of their pipelines' names.
    private static let foreign: [(prefix: String, name: String)] = [
        ("StableDiffusion3", "Stable Diffusion 3"), ("StableDiffusionXLInstructPix2Pix", "InstructPix2Pix"),
        ("StableDiffusionInstructPix2Pix", "InstructPix2Pix"), ("StableDiffusionUpscale", "the ×4 upscaler"),
        ("StableDiffusionLatentUpscale", "the latent upscaler"), ("StableDiffusionDepth2Img", "depth to image"),
        ("StableDiffusionControlNet", "ControlNet"), ("StableDiffusionXLControlNet", "ControlNet"), ("Flux", "FLUX"),
        ("PixArt", "PixArt"), ("StableCascade", "Stable Cascade"), ("Kandinsky", "Kandinsky"), ("HunyuanDiT", "Hunyuan-DiT"),
        ("Hunyuan", "Hunyuan"), ("AuraFlow", "AuraFlow"), ("Sana", "SANA"), ("QwenImage", "Qwen-Image"), ("Wan", "Wan"),
        ("Lumina", "Lumina"), ("Chroma", "Chroma"), ("LatentConsistencyModel", "a latent consistency model"),
        ("IF", "DeepFloyd IF"),
    ]
}
