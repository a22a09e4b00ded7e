/// Which kinds of cases there are, and what computes them.
enum GoldenKinds {
    /// Kinds that are computed.
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
        "hidiffusion_pipeline": PipelineCases.hiDiffusion,
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

    /// Kinds that are known and wait for their part of the program.
    static let notYet: [String: String] = [
        "hidiffusion_todo": "token downsampling inside HiDiffusion's windows",
        "todo_block": "token downsampling",
        "todo_indices": "token downsampling",
        "todo_unet": "token downsampling",
        "tome_block": "token merging",
        "tome_plan": "token merging",
        "tome_unet": "token merging",
    ]

    static func compute(_ run: CaseRun) throws {
        let kind = run.golden.kind
        if let compute = computed[kind] { return try compute(run) }
        if let what = notYet[kind] { throw GoldenError.unsupported("kind \(kind): \(what) is not implemented") }
        throw GoldenError.failed("the kind \"\(kind)\" is not known")
    }
}
