/// The kinds of cases, and the functions that compute them.
enum GoldenKinds {
    static let computed: [String: @Sendable (CaseRun) throws -> Void] = [
        "text_encode": NetworkCases.encodeText,
        "unet_forward": NetworkCases.runUNet,
        "vae_decode": NetworkCases.decode,
        "vae_encode": NetworkCases.encode,
        "vae_decode_tiled": TiledCases.decode,
        "vae_encode_tiled": TiledCases.encode,
        "single_file": NetworkCases.checkpoint,
        "lora": LoRACases.merged,
        "tokenizer": TokenizerCases.tokenize,
        "file_refusal": FileCases.refuse,
        "hidiffusion_ops": HiDiffusionCases.operators,
        "hidiffusion_block": HiDiffusionCases.block,
        "hidiffusion_stages": HiDiffusionCases.stages,
        "hidiffusion_unet": HiDiffusionCases.unet,
        "hidiffusion_todo": TokenCases.downsampleWithHiDiffusion,
        "hidiffusion_pipeline": PipelineCases.hiDiffusion,
        "tome_plan": TokenCases.mergePlan,
        "tome_block": TokenCases.mergeBlock,
        "tome_unet": TokenCases.mergeUNet,
        "todo_indices": TokenCases.downsampleIndices,
        "todo_block": TokenCases.downsampleBlock,
        "todo_unet": TokenCases.downsampleUNet,
        "txt2img": PipelineCases.textToImage,
        "img2img": PipelineCases.imageToImage,
        "inpaint": PipelineCases.inpaint,
        "rng": RandomCases.draw,
        "scheduler": SchedulerCases.run,
        "scheduler_table": SchedulerCases.tables,
        "scheduler_add_noise": SchedulerCases.addNoise,
        "cutdiffusion_views": CutDiffusionCases.views,
        "cutdiffusion_interaction": CutDiffusionCases.interaction,
        "cutdiffusion_relocation": CutDiffusionCases.relocation,
        "cutdiffusion_detail": CutDiffusionCases.detail,
        "cutdiffusion_pipeline": CutDiffusionPipeline.run,
    ]

    static func compute(_ run: CaseRun) throws {
        let kind = run.golden.kind
        if let compute = computed[kind] { return try compute(run) }
        throw GoldenError.failed("the kind \"\(kind)\" is not known")
    }
}
