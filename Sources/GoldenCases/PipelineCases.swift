import Acceleration
import DiffusionModels
import ImageConditioning
import RandomStreams
import Samplers
import StrictJSON
import TensorCore

/// Whole runs from prompt to picture.
enum PipelineCases {
    static func textToImage(_ run: CaseRun) throws {
        try refuse(run.parameters, ["strength", "denoising_end"])
        let sampler = try sampler(run)
        try PromptEncoder(run).produceIDs()
        try denoise(run, sampler, PipelineStart(noise: noise(run), sampler), draw: { try stepNoise(run, $0) })
    }

    /// Where these pipelines differ from text-to-image, and no case shows how.
    private static let imageOptions = [
        "crops_coords_top_left", "denoising_end", "denoising_start", "negative_original_size", "negative_target_size",
        "padding_mask_crop",
    ]

    static func imageToImage(_ run: CaseRun) throws {
        try refuse(run.parameters, imageOptions)
        let sampler = try sampler(run)
        try PromptEncoder(run).produceIDs()
        let start = try ImageStart(run, sampler, mode: .imageToImage) { draw in draw == .image ? "vae_noise" : draw.rawValue }
        try denoise(run, sampler, start.begin(), draw: { try stepNoise(run, $0) })
    }

    static func inpaint(_ run: CaseRun) throws {
        try refuse(run.parameters, imageOptions)
        let sampler = try sampler(run)
        try PromptEncoder(run).produceIDs()
        let unet = try run.model().unet().configuration
        let mode = try ImageMode(inpaintingWithInputChannels: unet.inChannels, latentChannels: unet.outChannels)
        guard try run.parameters.integer("unet_channels", in: 1...1000) == unet.inChannels else {
            throw GoldenError.failed("the U-Net takes \(unet.inChannels) channels")
        }
        let start = try ImageStart(run, sampler, mode: mode) { draw in
            switch draw {
            case .image: "vae_noise_image"
            case .noise: "noise"
            case .maskedImage: "vae_noise_masked_image"
            }
        }
        guard try run.parameters.strings("draw_order") == start.drawNames else {
            throw GoldenError.failed("the draws are \(start.drawNames.joined(separator: ", ")), in this order")
        }
        try denoise(run, sampler, start.inpaint(), draw: { try stepNoise(run, $0) })
    }

    static func hiDiffusion(_ run: CaseRun) throws {
        let parameters = run.parameters
        let sampler = try sampler(run)
        let start: PipelineStart
        var drawn = 0
        switch try parameters.optionalString("task") {
        case nil: start = try PipelineStart(noise: noise(run), sampler)
        case "img2img":
            start = try ImageStart(run, sampler, mode: .imageToImage) { draw in draw == .image ? "draw_0" : "draw_1" }.begin()
            drawn = 2
        case .some(let task): throw GoldenError.unsupported("the task \(task) is not implemented")
        }
        let plans = try hiDiffusionPlans(run, calls: sampler.calls - start.firstCall)
        try denoise(
            run, sampler, start, draw: { try run.input("draw_\(drawn + $0)", [nil, nil, nil, nil]).floats },
            plan: { plans[$0 - start.firstCall] })
    }

    /// The plan of each of the run's `calls`, which must be the reference's.
    private static func hiDiffusionPlans(_ run: CaseRun, calls: Int) throws -> [UNetPlan] {
        let family = try HiDiffusionCases.family(run.parameters)
        let sides = try latentSize(run)
        let blocks = try run.model().unet().windowBlockCount
        guard try run.parameters.integer("N", in: 1...10_000) == calls else {
            throw GoldenError.failed("the run has \(calls) calls of the U-Net")
        }
        let (shifts, _) = try run.integers("shifts", [calls, blocks])
        guard shifts.allSatisfy({ (0...3).contains($0) }) else { throw GoldenError.failed("shifts are 0 to 3") }
        let plans = (0..<calls).map { call in
            UNetPlan.hiDiffusion(
                family: family, height: sides.height, width: sides.width, progress: (call, calls),
                shifts: shifts[(call * blocks)..<((call + 1) * blocks)].map { UInt8($0) })
        }
        let stages = plans.map { JSONValue.array([.integer($0.rad ? 1 : 0), .integer($0.pool ? 1 : 0)]) }
        guard try run.parameters.value("rad_pool_per_step") == .array(stages) else {
            throw GoldenError.failed("the stages of the steps are not those of the reference")
        }
        return plans
    }

    private static func refuse(_ parameters: Parameters, _ options: [String]) throws {
        for option in options where parameters.has(option) {
            throw GoldenError.unsupported("the option \(option) is not implemented")
        }
    }

    private static func sampler(_ run: CaseRun) throws -> Sampler {
        try SchedulerCases.sampler(
            run.parameters.value("scheduler_config"), steps: run.parameters.integer("steps", in: 1...10_000),
            eta: SchedulerCases.eta(run.parameters))
    }

    /// The sampler's draw number `draw` of the run.
    private static func stepNoise(_ run: CaseRun, _ draw: Int) throws -> [Float] {
        let noises = try run.input("step_noises", [nil, nil, nil, nil, nil])
        guard draw < noises.shape[0] else { throw GoldenError.failed("step_noises has no draw \(draw)") }
        return noises.slice(draw)
    }

    static func latentSize(_ run: CaseRun) throws -> (height: Int, width: Int) {
        (try run.parameters.integer("h", in: 1...4096), try run.parameters.integer("w", in: 1...4096))
    }

    /// Encodes the prompts, denoises and decodes; produces embeddings, timesteps, the latent after every call and the picture.
    ///
    /// - Parameter draw: the sampler's draws by number.
    private static func denoise(
        _ run: CaseRun, _ sampler: Sampler, _ start: PipelineStart, draw: (Int) throws -> [Float],
        plan: (Int) -> UNetPlan = { _ in .plain }
    ) throws {
        let denoiser = try denoiser(run, rows: start.shape[0])
        var latent = start.latent
        var (steps, history, drawn): ([Float], SamplerHistory, Int) = ([], SamplerHistory(), 0)
        for call in start.firstCall..<sampler.calls {
            let scaled = sampler.scaleInput(latent, call: call)
            let output = try denoiser(
                start.inpainting?.input(scaled) ?? scaled, shape: start.inputShape, timestep: sampler.timesteps[call],
                plan: plan(call))
            let fresh = try (0..<sampler.noiseMaps(call: call)).map { try draw(drawn + $0) }
            drawn += fresh.count
            guard fresh.allSatisfy({ $0.count == latent.count }) else {
                throw GoldenError.failed("the noise of step \(call) has not the size of the latent")
            }
            latent = sampler.step(modelOutput: output, call: call, sample: latent, noise: fresh, history: &history)
            latent = start.known?.impose(on: latent, after: call, sampler: sampler) ?? latent
            steps += latent
        }
        run.produce("latents_steps", GoldenTensor(steps, shape: [sampler.calls - start.firstCall] + start.shape))
        run.produce("timesteps", GoldenTensor(shape: [sampler.calls], values: .reals(sampler.timesteps)))
        if run.expects("image") || run.expects("image_u8") { try produceImage(run, latent, shape: start.shape) }
    }

    /// The U-Net conditioned on the case's prompts, which must be `rows`.
    private static func denoiser(_ run: CaseRun, rows: Int) throws -> Denoiser {
        let parameters = run.parameters
        let guidance = try parameters.number("guidance")
        var (positive, negative) = try PromptEncoder(run).encode(guided: guidance > 1)
        guard positive.text.shape[0] == rows else { throw GoldenError.failed("there are not as many prompts as latents") }
        let unet = try run.model().unet()
        if unet.configuration.added != nil {
            let size = try latentSize(run)
            let ids = try MicroConditioning(parameters, height: size.height, width: size.width)
            positive.timeIDs = MicroConditioning.tensor(ids.positive, rows: rows)
            negative?.timeIDs = MicroConditioning.tensor(ids.negative, rows: rows)
        }
        return Denoiser(
            context: run.context, unet: unet, negative: negative, positive: positive, guidance: Float(guidance),
            rescale: Float(try parameters.number("guidance_rescale", default: 0)))
    }

    /// Unit noise for every prompt: given, or drawn as PyTorch draws it on the CPU.
    private static func noise(_ run: CaseRun) throws -> GoldenTensor {
        let size = try latentSize(run)
        let rows = try run.parameters.strings("prompt").count
        let shape = [rows, try run.model().unet().configuration.outChannels, size.height, size.width]
        guard run.parameters.has("seed"), !run.hasInput("latents") else { return try run.input("latents", shape.map { $0 }) }
        var generator = TorchCPUGenerator(seed: try run.parameters.seed("seed"))
        return GoldenTensor(generator.normals(count: shape.reduce(1, *)), shape: shape)
    }

    /// Decodes to (n, 3, h, w) in 0…1, clamped, and to 8 bits where the case has them.
    static func produceImage(_ run: CaseRun, _ latent: [Float], shape: [Int]) throws {
        let image = GoldenTensor(image: try NetworkCases.decode(latent, shape: shape, run.model().decoder()))
        let values = image.floats.map { min(1, max(0, $0 / 2 + 0.5)) }
        if run.expects("image") { run.produce("image", GoldenTensor(values, shape: image.shape)) }
        guard run.expects("image_u8") else { return }
        let bytes = values.map { Int(($0 * 255).rounded(.toNearestOrEven)) }
        run.produce("image_u8", GoldenTensor(integers: bytes, shape: image.shape))
    }
}
