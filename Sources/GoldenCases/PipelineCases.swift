import Acceleration
import DiffusionModels
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
        try denoise(run, sampler, stepNoise: { try stepNoise(run, $0) }, plan: { _ in .plain })
    }

    static func hiDiffusion(_ run: CaseRun) throws {
        let parameters = run.parameters
        if parameters.has("task") {
            throw GoldenError.unsupported("the task \(try parameters.string("task")) is not implemented")
        }
        let sampler = try sampler(run)
        let family = try HiDiffusionCases.family(parameters)
        let sides = try latentSize(run)
        let blocks = try run.model().unet().windowBlockCount
        let (shifts, _) = try run.integers("shifts", [sampler.calls, blocks])
        guard shifts.allSatisfy({ (0...3).contains($0) }) else { throw GoldenError.failed("shifts are 0 to 3") }
        let plans = (0..<sampler.calls).map { step in
            UNetPlan.hiDiffusion(
                family: family, height: sides.height, width: sides.width, progress: (step, sampler.calls),
                shifts: shifts[(step * blocks)..<((step + 1) * blocks)].map { UInt8($0) })
        }
        let stages = plans.map { JSONValue.array([.integer($0.rad ? 1 : 0), .integer($0.pool ? 1 : 0)]) }
        guard try parameters.value("rad_pool_per_step") == .array(stages) else {
            throw GoldenError.failed("the stages of the steps are not those of the reference")
        }
        try denoise(run, sampler, stepNoise: { step in try run.input("draw_\(step)", nil4).floats }, plan: { plans[$0] })
    }

    private static let nil4: [Int?] = [nil, nil, nil, nil]

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

    private static func latentSize(_ run: CaseRun) throws -> (height: Int, width: Int) {
        (try run.parameters.integer("h", in: 1...4096), try run.parameters.integer("w", in: 1...4096))
    }

    /// Encodes the prompts, denoises and decodes; produces embeddings, timesteps, the latent after every step and the picture.
    private static func denoise(
        _ run: CaseRun, _ sampler: Sampler, stepNoise: (Int) throws -> [Float], plan: (Int) -> UNetPlan
    ) throws {
        let parameters = run.parameters
        let guidance = try parameters.number("guidance")
        let size = try latentSize(run)
        var (positive, negative) = try PromptEncoder(run).encode(guided: guidance > 1)
        let unet = try run.model().unet()
        let rows = positive.text.shape[0]
        if unet.configuration.added != nil {
            let ids = try MicroConditioning(parameters, height: size.height, width: size.width)
            positive.timeIDs = MicroConditioning.tensor(ids.positive, rows: rows)
            negative?.timeIDs = MicroConditioning.tensor(ids.negative, rows: rows)
        }
        let denoiser = Denoiser(
            context: run.context, unet: unet, negative: negative, positive: positive, guidance: Float(guidance),
            rescale: Float(try parameters.number("guidance_rescale", default: 0)))
        let start = try noise(run, shape: [rows, unet.configuration.outChannels, size.height, size.width])
        var latent = start.floats.map { $0 * sampler.initialNoiseScale }
        var (steps, history, drawn): ([Float], SamplerHistory, Int) = ([], SamplerHistory(), 0)
        for step in 0..<sampler.calls {
            let output = try denoiser(
                sampler.scaleInput(latent, call: step), shape: start.shape, timestep: sampler.timesteps[step], plan: plan(step))
            let fresh = try (0..<sampler.noiseMaps(call: step)).map { try stepNoise(drawn + $0) }
            drawn += fresh.count
            guard fresh.allSatisfy({ $0.count == latent.count }) else {
                throw GoldenError.failed("the noise of step \(step) has not the size of the latent")
            }
            latent = sampler.step(modelOutput: output, call: step, sample: latent, noise: fresh, history: &history)
            steps += latent
        }
        run.produce("latents_steps", GoldenTensor(steps, shape: [sampler.calls] + start.shape))
        run.produce("timesteps", GoldenTensor(shape: [sampler.calls], values: .reals(sampler.timesteps)))
        if run.expects("image") || run.expects("image_u8") { try produceImage(run, latent, shape: start.shape) }
    }

    /// Unit noise: given, or drawn as PyTorch draws it on the CPU.
    private static func noise(_ run: CaseRun, shape: [Int]) throws -> GoldenTensor {
        guard run.parameters.has("seed"), !run.hasInput("latents") else { return try run.input("latents", shape.map { $0 }) }
        var generator = TorchCPUGenerator(seed: UInt64(try run.parameters.integer("seed", in: 0...Int.max)))
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

/// SDXL's six numbers: original height and width, crop top and left, target height and width.
struct MicroConditioning {
    let positive: [Float]
    let negative: [Float]

    /// - Parameters:
    ///   - height: of the latent; sizes that are not given are the picture's.
    init(_ parameters: Parameters, height: Int, width: Int) throws {
        func pair(_ key: String, _ fallback: [Int]) throws -> [Int] {
            guard parameters.has(key) else { return fallback }
            let pair = try parameters.integers(key)
            guard pair.count == 2 else { throw GoldenError.failed("\"\(key)\" has two numbers") }
            return pair
        }
        let picture = [height * 8, width * 8]
        let numbers =
            try pair("original_size", picture) + pair("crops_coords_top_left", [0, 0]) + pair("target_size", picture)
        positive = numbers.map { Float($0) }
        // The reference takes the negative sizes only when both are given.
        if parameters.has("negative_original_size"), parameters.has("negative_target_size") {
            let other =
                try pair("negative_original_size", picture) + pair("negative_crops_coords_top_left", [0, 0])
                + pair("negative_target_size", picture)
            negative = other.map { Float($0) }
        } else {
            negative = positive
        }
    }

    static func tensor(_ numbers: [Float], rows: Int) -> Tensor {
        Tensor((0..<rows).flatMap { _ in numbers }, shape: [rows, numbers.count])
    }
}
