/// The kinds of cases, and the functions that compute them.
enum GoldenKinds {
    typealias Compute = @Sendable (CaseRun) throws -> Void

    /// The kinds of cases with networks or operators that compute in the chosen precision.
    static let inPrecision: [String: Compute] = [
        "unet_forward": NetworkCases.runUNet,
        "vae_decode": NetworkCases.decode,
        "vae_encode": NetworkCases.encode,
        "vae_decode_tiled": TiledCases.decode,
        "vae_encode_tiled": TiledCases.encode,
        "single_file": NetworkCases.checkpoint,
        "lora": WeightCases.mergeLoRA,
        "hidiffusion_ops": HiDiffusionCases.operators,
        "hidiffusion_block": HiDiffusionCases.block,
        "hidiffusion_unet": HiDiffusionCases.unet,
        "hidiffusion_todo": TokenCases.downsampleWithHiDiffusion,
        "hidiffusion_pipeline": PipelineCases.hiDiffusion,
        "tome_plan": TokenCases.mergePlan,
        "tome_block": TokenCases.mergeBlock,
        "tome_unet": TokenCases.mergeUNet,
        "todo_block": TokenCases.downsampleBlock,
        "todo_unet": TokenCases.downsampleUNet,
        "txt2img": PipelineCases.textToImage,
        "img2img": PipelineCases.imageToImage,
        "inpaint": PipelineCases.inpaint,
        "cutdiffusion_pipeline": CutDiffusionPipeline.run,
    ]

    /// The kinds that compute in f32 in any precision, text encoders among them. They always have to reach their own
    /// tolerances.
    static let inSingle: [String: Compute] = [
        "text_encode": NetworkCases.encodeText,
        "tokenizer": TokenizerCases.tokenize,
        "file_refusal": WeightCases.refuse,
        "hidiffusion_stages": HiDiffusionCases.switches,
        "todo_indices": TokenCases.downsampleIndices,
        "rng": RandomCases.draw,
        "scheduler": SchedulerCases.run,
        "scheduler_table": SchedulerCases.tables,
        "scheduler_add_noise": SchedulerCases.addNoise,
        "cutdiffusion_views": CutDiffusionCases.views,
        "cutdiffusion_interaction": CutDiffusionCases.interaction,
        "cutdiffusion_relocation": CutDiffusionCases.relocation,
        "cutdiffusion_detail": CutDiffusionCases.detail,
    ]
}
