import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import RandomStreams
import Samplers
public import Weights

/// One picture as a sequence of barriers: `start` gives the first, `complete` merges a barrier's outputs and gives the next.
///
/// A value: no clock, no I/O, no randomness but what the seed gives. Outputs are merged in task order, so the picture does not
/// depend on who computed what and when.
public struct RenderMachine: Sendable {
    /// What follows a merge.
    public enum Outcome: Sendable {
        case barrier(Barrier)
        case finished(RenderedImage)
    }

    /// Where the render stands: which outputs the current barrier waits for. Steps are calls of the network.
    private enum Stage: Sendable {
        case notStarted
        case encoding
        /// The source picture and, for some models, the masked one, on their way through the encoder.
        case picturing
        /// Step `step` of the whole latent.
        case denoising(step: Int)
        /// CutDiffusion's structure phase: patches that will get their predictions back through `interaction`.
        case structure(step: Int, PixelInteraction)
        /// CutDiffusion's detail phase: the canvas as these views see it.
        case detail(step: Int, views: [PatchView])
        case decoding
        case finished
    }

    public let plan: RenderPlan
    private let request: RenderRequest
    private let model: ModelDescription
    private let resolved: ResolvedPlan
    private var stage = Stage.notStarted
    private var context: JobContext
    /// The planar latents: the canvas, or the patches of the structure phase one after the other.
    private var canvas: [Float] = []
    /// What the sampler remembers of the canvas.
    private var history = SamplerHistory()
    /// What the source picture does to the run.
    private var guide = SourceGuide.none
    private var generator: TorchCPUGenerator
    private var expectedTasks = 0

    /// Resolves the request for a model.
    ///
    /// - Parameter loras: where the LoRA files are that the request names.
    /// - Throws: `.invalidRequest` for what the method cannot do, `.notFound` and `.badModel` for LoRA files, each in one
    ///   sentence with the remedy.
    public init(
        request: RenderRequest, model: ModelDescription, loras: LoRALibrary = .empty
    ) throws(RenderError) {
        try request.validated()
        let model = try model.applying(try request.selectedLoRAs(), from: loras)
        resolved = try PlanResolution(request: request, model: model).resolve()
        plan = resolved.plan
        (self.request, self.model) = (request, model)
        context = JobContext(model, conditioning: nil)
        generator = TorchCPUGenerator(seed: request.seed)
    }

    /// What the outputs of tasks that encode prompts must look like.
    public var embeddingShape: RenderTask.EmbeddingShape { resolved.prompts.embeddingShape }

    /// The first barrier: the prompts, as token ids of one chunk a task. Called again, it begins anew.
    public mutating func start() -> Barrier {
        context = JobContext(model, conditioning: nil)
        generator = TorchCPUGenerator(seed: plan.seed)
        (canvas, history, guide) = ([], SamplerHistory(), .none)
        stage = .encoding
        return barrier(.encode, step: 0, of: 1, resolved.prompts.works)
    }

    /// Merges the outputs of the last barrier, in task order.
    ///
    /// - Throws: `.malformed` for outputs that do not answer the tasks, `.nonFinite` for NaN or infinity in a merged latent,
    ///   naming phase and step. After an error the machine is as it was.
    public mutating func complete(_ outputs: [TaskOutput]) throws(RenderError) -> Outcome {
        guard outputs.count == expectedTasks else {
            throw RenderError(.malformed, "A step of \(expectedTasks) tasks got \(outputs.count) outputs.")
        }
        switch stage {
        case .encoding:
            context = JobContext(model, conditioning: try resolved.prompts.conditioning(outputs))
            if let source = plan.source { return .barrier(picturingBarrier(source)) }
            drawInitialNoise()
            return .barrier(firstDenoisingBarrier())
        case .picturing:
            try begin(from: outputs)
            return .barrier(firstDenoisingBarrier())
        case .denoising(let step):
            try completeDenoising(step, outputs)
            return .barrier(step + 1 < plan.calls ? denoisingBarrier(step + 1) : decodingBarrier())
        case .structure(let step, let interaction):
            return .barrier(try completeStructure(step, interaction, outputs))
        case .detail(let step, let views):
            return .barrier(try completeDetail(step, views, outputs))
        case .decoding:
            let image = try finish(outputs[0])
            stage = .finished
            return .finished(image)
        case .notStarted:
            throw RenderError(.malformed, "The render has not begun; nothing is there to merge.")
        case .finished:
            throw RenderError(.malformed, "The picture is finished; nothing is left to merge.")
        }
    }
}

// MARK: - Barriers

extension RenderMachine {
    private mutating func barrier(_ phase: RenderPhase, step: Int, of count: Int, _ works: [RenderTask.Work]) -> Barrier {
        let overall = phase == .detail ? step + plan.structureCalls : step
        expectedTasks = works.count
        return Barrier(
            phase: phase, step: step, stepCount: count,
            tasks: works.enumerated().map { index, work in
                RenderTask(phase: phase, step: overall, index: index, contextHash: context.hash, work: work)
            }, context: context)
    }

    private mutating func firstDenoisingBarrier() -> Barrier {
        let first = plan.firstCall
        if plan.cut == nil { return denoisingBarrier(first) }
        return plan.structureCalls > 0 ? structureBarrier(first) : detailBarrier(first)
    }

    private mutating func picturingBarrier(_ plan: SourcePlan) -> Barrier {
        guard let source = request.source else { preconditionFailure("a plan for a picture that is not there") }
        stage = .picturing
        let works = plan.encodes.map { draw in
            RenderTask.Work.encodePicture(
                PictureWork(
                    width: source.width, height: source.height, rgb: source.rgb,
                    mask: draw == .maskedImage ? source.mask : nil))
        }
        return barrier(.picture, step: 0, of: 1, works)
    }

    private mutating func denoisingBarrier(_ step: Int) -> Barrier {
        stage = .denoising(step: step)
        let shown = ShownLatent(
            values: canvas, extra: guide.extraChannels, height: plan.latentHeight, width: plan.latentWidth)
        let work = denoise(shown, .denoise, step)
        return barrier(.denoise, step: step - plan.firstCall, of: plan.calls - plan.firstCall, [work])
    }

    private mutating func structureBarrier(_ step: Int) -> Barrier {
        guard let cut = resolved.cut else { preconditionFailure("the structure phase belongs to the method cut") }
        let patches = slices(of: canvas, cut.grid)
        let interaction = PixelInteraction(
            patchCount: cut.grid.count, positionCount: patches[0].count, seed: plan.seed, step: step)
        stage = .structure(step: step, interaction)
        // The extra channels stay where they belong: the permutations are those of the latent's channels.
        let extra = guide.extraChannels.map { cut.grid.deal($0, channels: extraChannelCount) }
        let works = interaction.shuffle(patches).enumerated().map { index, patch in
            let shown = ShownLatent(
                values: patch, extra: extra?[index], height: cut.grid.patchHeight, width: cut.grid.patchWidth)
            return denoise(shown, .structure, step)
        }
        return barrier(.structure, step: step - plan.firstCall, of: plan.structureCalls, works)
    }

    private mutating func detailBarrier(_ step: Int) -> Barrier {
        guard let cut = resolved.cut else { preconditionFailure("the detail phase belongs to the method cut") }
        let views = cut.views.jitteredViews(seed: plan.seed, step: step)
        let crops = cut.views.crops(of: canvas, channels: plan.latentChannels, views: views)
        stage = .detail(step: step, views: views)
        let extra = guide.extraChannels.map { cut.views.crops(of: $0, channels: extraChannelCount, views: views) }
        let works = crops.enumerated().map { index, crop in
            let view = views[index]
            let shown = ShownLatent(values: crop, extra: extra?[index], height: view.height, width: view.width, view: view)
            return denoise(shown, .detail, step)
        }
        let start = plan.firstCall + plan.structureCalls
        return barrier(.detail, step: step - start, of: plan.calls - start, works)
    }

    private mutating func decodingBarrier() -> Barrier {
        stage = .decoding
        let latent = Latent(
            channels: plan.latentChannels, height: plan.latentHeight, width: plan.latentWidth, values: canvas)
        return barrier(.decode, step: 0, of: 1, [.decode(latent)])
    }

    /// Channels that a network for inpainting takes beside the latent's.
    private var extraChannelCount: Int { plan.latentChannels + 1 }

    /// What the network is shown in one task.
    private struct ShownLatent {
        /// Not scaled yet.
        var values: [Float]
        /// The mask's and the masked picture's channels, where the network takes them.
        var extra: [Float]?
        var height: Int
        var width: Int
        /// Where it lies on the padded canvas; nil for a whole canvas and for patches, which stand for the whole.
        var view: PatchView?
    }

    /// One U-Net evaluation. SDXL is told of a view's corner.
    private func denoise(_ shown: ShownLatent, _ phase: RenderPhase, _ step: Int) -> RenderTask.Work {
        var unetPlan = UNetPlan.plain
        let hiDiffusion = phase == .detail ? plan.hiDiffusionInDetail : plan.hiDiffusionInStructure
        if hiDiffusion, let blocks = resolved.windowBlocks, let family = plan.hiDiffusionFamily {
            unetPlan = .hiDiffusion(
                family: family, height: shown.height, width: shown.width,
                progress: (step - plan.firstCall, plan.calls - plan.firstCall),
                shifts: WindowShifts.ids(seed: plan.seed, step: step, blocks: blocks))
        }
        unetPlan.tokens =
            plan.tokenReduction?.tokens(
                (step - plan.firstCall, plan.calls - plan.firstCall), key: (plan.seed, step),
                corner: shown.view.map { ($0.top, $0.left) } ?? (0, 0), isShrunk: unetPlan.rad || unetPlan.pool) ?? .none
        let corner = shown.view.map {
            SizeConditioning.Corner(top: $0.top * model.scaleFactor, left: $0.left * model.scaleFactor)
        }
        return .denoise(
            DenoiseWork(
                latent: Latent(
                    channels: plan.latentChannels + (shown.extra == nil ? 0 : extraChannelCount), height: shown.height,
                    width: shown.width,
                    values: resolved.sampler.scaleInput(shown.values, call: step) + (shown.extra ?? [])),
                timestep: Float(resolved.sampler.timesteps[step]), guidance: plan.guidance(phase),
                rescale: plan.guidanceRescale, timeIDs: plan.sizes?.timeIDs(corner: corner), plan: unetPlan))
    }
}

// MARK: - Merging

extension RenderMachine {
    /// As diffusers draws it with a CPU generator: one latent, or for CutDiffusion one for each patch in turn.
    private mutating func drawInitialNoise() {
        let scale = resolved.sampler.initialNoiseScale
        canvas = noiseMap(&generator, of: firstGrid).map { $0 * scale }
    }

    /// The grid of the structure phase where the run begins with it.
    private var firstGrid: PatchGrid? { plan.structureCalls > 0 ? resolved.cut?.grid : nil }

    /// Draws what diffusers draws, in its order, and lays the picture's latents out as the run's first phase wants them.
    private mutating func begin(from outputs: [TaskOutput]) throws(RenderError) {
        guard let source = plan.source, let pixels = request.source else {
            preconditionFailure("pictures came back that nobody sent")
        }
        var moments: [ImageMode.Draw: LatentDistribution] = [:]
        for (draw, output) in zip(source.encodes, outputs) { moments[draw] = try distribution(output) }
        var stream = generator
        var (noise, latents): ([Float], [ImageMode.Draw: [Float]]) = ([], [:])
        for draw in source.mode.draws(strength: source.strength) {
            let map = noiseMap(&stream, of: draw == .noise ? firstGrid : nil)
            if draw == .noise { noise = map }
            latents[draw] = moments[draw].map {
                model.vae.samplerLatent($0.sample(noise: map), height: plan.latentHeight, width: plan.latentWidth)
            }
        }
        let image = latents[.image] ?? []
        let layOut = { [self] (values: [Float]) in
            firstGrid.map { $0.deal(values, channels: plan.latentChannels).flatMap(\.self) } ?? values
        }
        let start = source.mode.startLatent(
            image: image.isEmpty ? [] : layOut(image), noise: noise, sampler: resolved.sampler, strength: source.strength,
            call: source.firstCall)
        let masked = latents[.maskedImage] ?? []
        for values in [start, image, masked] { try checkRange(values, .picture, 0) }
        guide = SourceGuide(
            source.mode, image: image, noise: noise, mask: try pixels.latentMask(scale: model.scaleFactor) ?? [],
            masked: masked, channels: plan.latentChannels, layOut: layOut)
        (canvas, generator) = (start, stream)
    }

    private func distribution(_ output: TaskOutput) throws(RenderError) -> LatentDistribution {
        guard case .moments(let latent) = output, latent.channels == 2 * plan.latentChannels,
            latent.height == plan.latentHeight, latent.width == plan.latentWidth
        else { throw RenderError(.malformed, "The encoded picture does not have the size of its latent.") }
        try checkRange(latent.values, .picture, 0)
        let half = latent.values.count / 2
        return LatentDistribution(mean: Array(latent.values[..<half]), logVariance: Array(latent.values[half...]))
    }

    /// Unit noise for the whole latent, or, with `grid`, for all patches of the structure phase, each drawn in turn.
    private func noiseMap(_ stream: inout TorchCPUGenerator, of grid: PatchGrid?) -> [Float] {
        guard let grid else { return stream.normals(count: plan.latentChannels * plan.latentHeight * plan.latentWidth) }
        var map: [Float] = []
        for _ in 0..<grid.count { map += stream.normals(count: plan.latentChannels * grid.patchHeight * grid.patchWidth) }
        return map
    }

    /// The patches that lie one after the other in `values`.
    private func slices(of values: [Float], _ grid: PatchGrid) -> [[Float]] {
        let size = values.count / grid.count
        return (0..<grid.count).map { Array(values[($0 * size)..<(($0 + 1) * size)]) }
    }

    /// The predictions of all tasks, each checked to have its input's shape and to be numbers.
    private func predictions(
        _ outputs: [TaskOutput], height: Int, width: Int, _ phase: RenderPhase, _ step: Int
    ) throws(RenderError) -> [[Float]] {
        var predictions: [[Float]] = []
        predictions.reserveCapacity(outputs.count)
        for (index, output) in outputs.enumerated() {
            guard case .prediction(let latent) = output, latent.channels == plan.latentChannels, latent.height == height,
                latent.width == width, latent.values.count == latent.channels * height * width
            else { throw RenderError(.malformed, "The output of task \(index) is no prediction of its task's size.") }
            try checkRange(latent.values, phase, step)
            predictions.append(latent.values)
        }
        return predictions
    }

    private func checkRange(_ values: [Float], _ phase: RenderPhase, _ step: Int) throws(RenderError) {
        guard values.allSatisfy({ $0.isFinite }) else {
            throw RenderError(
                .nonFinite, "The latent left the range of numbers in the \(phase.rawValue) phase at step \(step).")
        }
    }

    /// One call's step of everything there is: sampler, history and noise belong to the canvas, never to a view.
    ///
    /// - Parameter grid: of the patches whose latents `canvas` holds in the structure phase.
    /// - Throws: `.nonFinite`; nothing is changed then.
    private mutating func takeStep(
        _ prediction: [Float], _ step: Int, _ phase: RenderPhase, of grid: PatchGrid? = nil
    ) throws(RenderError) {
        var (stream, past) = (generator, history)
        let noise = (0..<resolved.sampler.noiseMaps(call: step)).map { _ in noiseMap(&stream, of: grid) }
        let stepped = resolved.sampler.step(
            modelOutput: prediction, call: step, sample: canvas, noise: noise, history: &past)
        let next = guide.impose(on: stepped, after: step, sampler: resolved.sampler)
        try checkRange(next, phase, step)
        (canvas, generator, history) = (next, stream, past)
    }

    private mutating func completeDenoising(_ step: Int, _ outputs: [TaskOutput]) throws(RenderError) {
        let predictions = try predictions(
            outputs, height: plan.latentHeight, width: plan.latentWidth, .denoise, step)
        try takeStep(predictions[0], step, .denoise)
    }

    private mutating func completeStructure(
        _ step: Int, _ interaction: PixelInteraction, _ outputs: [TaskOutput]
    ) throws(RenderError) -> Barrier {
        guard let cut = resolved.cut else { preconditionFailure("the structure phase belongs to the method cut") }
        let restored = interaction.restore(
            try predictions(outputs, height: cut.grid.patchHeight, width: cut.grid.patchWidth, .structure, step))
        try takeStep(restored.flatMap(\.self), step, .structure, of: cut.grid)
        guard step + 1 == cut.phases.structureSteps else { return structureBarrier(step + 1) }
        relocate(cut.grid)
        return detailBarrier(step + 1)
    }

    /// Deals the patches into the canvas, and with them all that the sampler remembers of them.
    private mutating func relocate(_ grid: PatchGrid) {
        var (past, moved) = (history, guide)
        past.mapArrays { dealt($0, grid) }
        moved.relocate { dealt($0, grid) }
        (canvas, history, guide) = (dealt(canvas, grid), past, moved)
    }

    private func dealt(_ patches: [Float], _ grid: PatchGrid) -> [Float] {
        grid.relocate(slices(of: patches, grid), channels: plan.latentChannels)
    }

    /// The views' predictions are averaged, then the canvas takes one step. For the published samplers, whose step is linear,
    /// this is the mean of the stepped views; for those with a memory or noise it is the one right meaning.
    private mutating func completeDetail(
        _ step: Int, _ views: [PatchView], _ outputs: [TaskOutput]
    ) throws(RenderError) -> Barrier {
        guard let cut = resolved.cut else { preconditionFailure("the detail phase belongs to the method cut") }
        let predictions = try predictions(
            outputs, height: cut.views.windowHeight, width: cut.views.windowWidth, .detail, step)
        let prediction = cut.views.average(predictions, channels: plan.latentChannels, views: views)
        try takeStep(prediction, step, .detail)
        return step + 1 < plan.calls ? detailBarrier(step + 1) : decodingBarrier()
    }

    private func finish(_ output: TaskOutput) throws(RenderError) -> RenderedImage {
        guard case .pixels(let width, let height, let rgb) = output, width == plan.width, height == plan.height,
            rgb.count == width * height * 3
        else {
            throw RenderError(.malformed, "The decoded picture does not have \(plan.width)×\(plan.height) pixels.")
        }
        let parameters = GenerationParameters(request: request, plan: plan, model: model)
        return RenderedImage(width: width, height: height, rgb: rgb, parameters: parameters.text, details: parameters.details)
    }
}
