import Acceleration
import DiffusionModels
import PatchGeometry
import RandomStreams
import Samplers
import StrictJSON
import TensorCore
import Weights

/// A whole CutDiffusion run with given noise, permutations and views.
struct CutDiffusionPipeline {
    private let run: CaseRun
    private let grid: PatchGrid
    private let phases: PhaseSchedule
    private let sampler: Sampler
    private let channels: Int
    private var denoiser: Denoiser
    /// The reference's own, in cases that show it.
    private let slip: SigmaSlip?
    private var history = SamplerHistory()

    static func run(_ run: CaseRun) throws {
        var pipeline = try CutDiffusionPipeline(run)
        let canvas = pipeline.relocated(try pipeline.structure())
        run.produce("relocated", GoldenTensor(canvas, shape: pipeline.canvasShape))
        let result = try pipeline.detail(canvas)
        if run.expects("image") { try PipelineCases.produceImage(run, result, shape: pipeline.canvasShape) }
    }

    private init(_ run: CaseRun) throws {
        self.run = run
        let parameters = run.parameters
        let unet = try run.model().unet()
        channels = unet.configuration.outChannels
        grid = try PatchGrid(
            height: parameters.integer("h", in: 1...4096), width: parameters.integer("w", in: 1...4096),
            patch: parameters.integer("native_patch", in: 1...4096))
        let steps = try parameters.integer("steps", in: 2...10_000)
        guard let fraction = StructureFraction(try parameters.value("proportion").canonicalText) else {
            throw GoldenError.failed("\"proportion\" must be a decimal between 0 and 1")
        }
        phases = try PhaseSchedule(steps: steps, fraction: fraction)
        guard try parameters.integer("structure_steps", in: 1...steps) == phases.structureSteps,
            try parameters.integer("patches", in: 1...4096) == grid.count
        else { throw GoldenError.failed("the run has \(phases.structureSteps) structure steps and \(grid.count) patches") }
        sampler = try SchedulerCases.sampler(run.model().source.json("scheduler/scheduler_config.json"), steps: steps)
        guard sampler.method == .euler else { throw GoldenError.unsupported("this kind is implemented for Euler only") }
        let scale = try parameters.number("init_noise_sigma")
        guard abs(Double(sampler.initialNoiseScale) - scale) <= 1e-6 * scale else {
            throw GoldenError.failed("the sampler begins with noise of \(sampler.initialNoiseScale)")
        }
        slip =
            try parameters.flag("quirk_q1")
            ? SigmaSlip(sigmas: sampler.sigmas, viewBatchSize: parameters.integer("view_batch_size", in: 1...65536)) : nil
        denoiser = try CutDiffusionPipeline.denoiser(run, unet)
        run.produce("timesteps", GoldenTensor(shape: [steps], values: .reals(sampler.timesteps)))
        run.produce("sigmas", GoldenTensor(sampler.sigmas, shape: [sampler.sigmas.count]))
    }

    private static func denoiser(_ run: CaseRun, _ unet: UNet) throws -> Denoiser {
        guard let added = unet.configuration.added else { throw GoldenError.failed("the model is not of SDXL's kind") }
        func conditioning(_ prefix: String) throws -> Conditioning {
            Conditioning(
                text: try run.tensor(prefix + "prompt_embeds", [1, nil, unet.configuration.textWidth]),
                pooled: try run.tensor(prefix + "pooled_prompt_embeds", [1, added.textWidth]))
        }
        let guidance = try run.parameters.number("guidance")
        return Denoiser(
            context: run.context, unet: unet, negative: guidance > 1 ? try conditioning("negative_") : nil,
            positive: try conditioning(""), guidance: Float(guidance),
            rescale: Float(try run.parameters.number("guidance_rescale", default: 0)))
    }

    private var canvasShape: [Int] { [1, channels, grid.height, grid.width] }

    private func timeIDs(top: Int, left: Int) -> [Float] {
        [grid.height * 8, grid.width * 8, top * 8, left * 8, grid.height * 8, grid.width * 8].map { Float($0) }
    }

    /// One guided prediction for one patch, scaled as the sampler asks.
    private mutating func predict(_ scaled: [Float], shape: [Int], step: Int, ids: [Float]) throws -> [Float] {
        denoiser.positive.timeIDs = MicroConditioning.tensor(ids, rows: 1)
        denoiser.negative?.timeIDs = MicroConditioning.tensor(ids, rows: 1)
        return try denoiser(scaled, shape: shape, timestep: sampler.timesteps[step], plan: .plain)
    }

    /// The patches one after the other, and with them what the sampler remembers of them, dealt into the canvas.
    private mutating func relocated(_ patches: [Float]) -> [Float] {
        let (grid, channels) = (grid, channels)
        let deal = { (values: [Float]) in
            grid.relocate(GoldenTensor(values, shape: [grid.count, values.count / grid.count]).slices, channels: channels)
        }
        history.mapArrays(deal)
        return deal(patches)
    }

    /// - Returns: the patches, one after the other.
    private mutating func structure() throws -> [Float] {
        let shape = [1, channels, grid.patchHeight, grid.patchWidth]
        let noise = try run.input("initial_noise", [grid.count] + shape.dropFirst())
        let mixings = try mixings()
        var patches = noise.floats.map { $0 * sampler.initialNoiseScale }
        var latents: [Float] = []
        for step in 0..<phases.structureSteps {
            let own = GoldenTensor(patches, shape: noise.shape).slices
            let seen = mixings?[step].shuffle(own) ?? own
            var predictions: [[Float]] = []
            for patch in seen {
                let scaled = sampler.scaleInput(patch, call: step)
                predictions.append(try predict(scaled, shape: shape, step: step, ids: timeIDs(top: 0, left: 0)))
            }
            let owned = mixings?[step].restore(predictions) ?? predictions
            patches = sampler.step(modelOutput: owned.flatMap(\.self), call: step, sample: patches, history: &history)
            latents += patches
        }
        run.produce("structure_latents", GoldenTensor(latents, shape: [phases.structureSteps] + noise.shape))
        return patches
    }

    /// The permutations of each structure step, which must be those of the case's seed; nil without interaction.
    private func mixings() throws -> [PixelInteraction]? {
        guard try run.parameters.flag("shuffle"), grid.count > 1 else { return nil }
        let shape = [phases.structureSteps, channels, grid.patchHeight, grid.patchWidth, grid.count]
        let (values, _) = try run.integers("permutations", shape)
        let size = values.count / phases.structureSteps
        var stream = TorchCPUGenerator(seed: try run.parameters.seed("seed"))
        return try (0..<phases.structureSteps).map { step in
            let own = values[(step * size)..<((step + 1) * size)]
            let drawn = (0..<(size / grid.count)).flatMap { _ in stream.permutation(count: grid.count) }
            guard drawn.elementsEqual(own) else {
                throw GoldenError.failed("the permutations of step \(step) are not those that torch draws from the seed")
            }
            // The reference's Euler step draws noise for all patches from the same stream and does not use it.
            _ = stream.normals(count: size)
            return try CutDiffusionCases.interaction(own, patchCount: grid.count)
        }
    }

    private mutating func detail(_ start: [Float]) throws -> [Float] {
        denoiser.guidance = Float(try run.parameters.number("detail_guidance"))
        let side = try run.parameters.integer("native_patch", in: 1...4096)
        let views = try ViewGrid(
            height: grid.height, width: grid.width, window: side, stride: run.parameters.integer("stride", in: 1...4096))
        let (corners, shape) = try run.integers("views", [phases.detailSteps, views.count, 4])
        guard try run.parameters.integer("jitter_radius", in: 0...4096) == views.jitterRadius else {
            throw GoldenError.failed("the jitter radius is \(views.jitterRadius)")
        }
        var random = PythonRandom(seed: try run.parameters.seed("seed"))
        var canvas = start
        var (latents, allIDs): ([Float], [Float]) = ([], [])
        for detailStep in 0..<phases.detailSteps {
            let step = phases.structureSteps + detailStep
            let range = (detailStep * shape[1] * 4)..<((detailStep + 1) * shape[1] * 4)
            let boxes = try CutDiffusionCases.views(Array(corners[range]), views)
            guard boxes == views.jitteredViews(using: &random) else {
                throw GoldenError.failed("the views of step \(step) are not those that Python draws from the seed")
            }
            guard views.coverage(of: boxes).allSatisfy({ $0 > 0 }) else {
                throw GoldenError.failed("the views of step \(step) do not cover the canvas")
            }
            var predictions: [[Float]] = []
            for (view, crop) in views.crops(of: canvas, channels: channels, views: boxes).enumerated() {
                let box = boxes[view]
                let ids = timeIDs(top: box.top, left: box.left)
                // One row for each guidance half, as the reference hands them to its U-Net.
                allIDs += denoiser.negative == nil ? ids : ids + ids
                let scaled = slip?.scale(crop, step: step, view: view) ?? sampler.scaleInput(crop, call: step)
                predictions.append(
                    try predict(scaled, shape: [1, channels, box.height, box.width], step: step, ids: ids))
            }
            let prediction = views.average(predictions, channels: channels, views: boxes)
            canvas = sampler.step(modelOutput: prediction, call: step, sample: canvas, history: &history)
            latents += canvas
        }
        run.produce("detail_latents", GoldenTensor(latents, shape: [phases.detailSteps] + canvasShape))
        run.produce(
            "detail_time_ids", GoldenTensor(allIDs, shape: [phases.detailSteps, allIDs.count / (6 * phases.detailSteps), 6]))
        return canvas
    }
}

/// The reference's wrong sigma (spec 1.10, Q1): it scales the views of every batch but the first of a step with the sigma of
/// the step after. Here only because some of its results show it; the program scales every view with its own step's sigma.
private struct SigmaSlip {
    /// Euler's, one more than steps.
    let sigmas: [Float]
    let viewBatchSize: Int

    func scale(_ crop: [Float], step: Int, view: Int) -> [Float] {
        let sigma = sigmas[view < viewBatchSize ? step : step + 1]
        let divisor = (sigma * sigma + 1).squareRoot()
        return crop.map { $0 / divisor }
    }
}
