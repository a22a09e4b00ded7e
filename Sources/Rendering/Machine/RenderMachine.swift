import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import Resampling
package import Samplers
public import Weights

/// One picture as a sequence of barriers: `start` gives the first, `complete` merges a barrier's outputs and gives the next.
///
/// A value: no clock, no I/O, no randomness but its own `RenderRandomness`. Outputs are merged in task order, so the picture
/// does not depend on who computed what and when.
public struct RenderMachine: Sendable {
    /// What follows a merge.
    public enum Outcome: Sendable {
        case barrier(Barrier)
        case finished(RenderedImage)
    }

    /// Where the render stands: which outputs the current barrier waits for. Steps are calls of the network.
    enum State: Sendable {
        case notStarted
        case encoding
        /// The source picture and, for some models, the masked one, on their way through the encoder.
        case picturing
        /// The result of a pass on its way to pixels, which the next pass begins with.
        case enlarging
        /// The call at this position of the pass's schedule.
        case calling(position: Int, Layout)
        case decoding
        case finished
    }

    /// How a call's inputs were made of the canvas.
    enum Layout: Sendable {
        case whole
        /// CutDiffusion's structure phase: patches that will get their predictions back through the interaction.
        case patches(PixelInteraction)
        /// CutDiffusion's detail phase: the canvas as these views see it.
        case views([CanvasView])
    }

    public let plan: RenderPlan
    let request: RenderRequest
    let model: ModelDescription
    let resolved: PreparedRender
    var state = State.notStarted
    /// Which of the plan's passes is under way.
    private(set) var passIndex = 0
    private(set) var context: JobContext
    /// The planar latents: the canvas, or the patches of the structure phase one after the other.
    package private(set) var canvas: [Float] = []
    /// What the sampler remembers of the canvas.
    private var history = SamplerHistory()
    /// What the source picture does to the run.
    private(set) var guide = SourceGuide.none
    var randomness: RenderRandomness
    /// As it was before anything was drawn.
    private let freshRandomness: RenderRandomness
    /// What answers each task of the current barrier.
    public internal(set) var expectedOutputs: [OutputShape] = []

    /// The pass under way.
    var pass: RenderPass { plan.passes[passIndex] }
    /// The sampler of the pass under way.
    package var sampler: Sampler { resolved.samplers[passIndex] }

    /// Resolves the request for a model.
    ///
    /// - Parameter loras: where the LoRA files are that the request names.
    /// - Throws: `.invalidRequest` for what the method cannot do, `.notFound` and `.badModel` for LoRA files, each in one
    ///   sentence with the remedy.
    public init(
        request: RenderRequest, model: ModelDescription, loras: LoRALibrary = .empty
    ) throws(RenderError) {
        try self.init(
            request: request, model: model, loras: loras, randomness: RenderRandomness(seed: request.seed))
    }

    /// The same with given randomness, such as that of a recorded run.
    package init(
        request: RenderRequest, model: ModelDescription, loras: LoRALibrary = .empty, randomness: RenderRandomness
    ) throws(RenderError) {
        try request.validated()
        let model = try model.applying(try request.selectedLoRAs(), from: loras)
        resolved = try PlanResolution(request: request, model: model).resolve()
        plan = resolved.plan
        (self.request, self.model) = (request, model)
        context = JobContext(model, conditioning: nil)
        (self.randomness, freshRandomness) = (randomness, randomness)
    }

    /// The first barrier: the prompts, as token ids of one chunk a task. Called again, it begins anew.
    public mutating func start() -> Barrier {
        context = JobContext(model, conditioning: nil)
        (canvas, history, guide, passIndex, randomness) = ([], SamplerHistory(), .none, 0, freshRandomness)
        state = .encoding
        return barrier(.encode, resolved.prompts.works)
    }

    /// Merges the outputs of the last barrier, in task order.
    ///
    /// - Throws: `.malformed` for outputs that do not answer the tasks, `.nonFinite` for NaN or infinity in a merged latent,
    ///   naming phase and step. After an error the machine is as it was.
    public mutating func complete(_ outputs: [TaskOutput]) throws(RenderError) -> Outcome {
        var next = self
        let outcome = try next.advance(outputs)
        self = next
        return outcome
    }

    /// Refuses outputs that do not answer the tasks. Whoever merges them need not look again.
    private func check(_ outputs: [TaskOutput]) throws(RenderError) {
        guard outputs.count == expectedOutputs.count else {
            throw RenderError(.malformed, "A step of \(expectedOutputs.count) tasks got \(outputs.count) outputs.")
        }
        for (index, (output, expected)) in zip(outputs, expectedOutputs).enumerated() {
            guard output.shape == expected else {
                throw RenderError(.malformed, "The output of task \(index) is \(output.shape), not \(expected).")
            }
            guard output.isFinite else {
                throw RenderError(.nonFinite, "The output of task \(index)\(place) holds NaN or infinity.")
            }
        }
    }

    /// The call under way, for messages.
    private var place: String {
        guard case .calling(let position, _) = state else { return "" }
        return " in the \(pass.schedule[position].phase.rawValue) phase at step \(pass.schedule[position].call)"
    }

    private mutating func advance(_ outputs: [TaskOutput]) throws(RenderError) -> Outcome {
        try check(outputs)
        switch state {
        case .encoding:
            context = JobContext(model, conditioning: try resolved.prompts.conditioning(outputs))
            if let source = plan.source { return .barrier(picturingBarrier(source)) }
            try drawInitialNoise()
            return .barrier(try firstDenoisingBarrier())
        case .picturing:
            if let source = plan.source { try begin(from: outputs, source) } else { try beginEnlarged(from: outputs[0]) }
            return .barrier(try firstDenoisingBarrier())
        case .enlarging:
            return .barrier(enlargedPictureBarrier(outputs[0]))
        case .calling(let position, let layout):
            try complete(pass.schedule[position], layout, outputs)
            return .barrier(try barrier(after: position))
        case .decoding:
            let image = finish(outputs[0])
            state = .finished
            return .finished(image)
        case .notStarted:
            throw RenderError(.malformed, "The render has not begun; nothing is there to merge.")
        case .finished:
            throw RenderError(.malformed, "The picture is finished; nothing is left to merge.")
        }
    }
}

// MARK: - Merging

extension RenderMachine {
    /// As diffusers draws it with a CPU generator: one latent, or for CutDiffusion one for each patch in turn.
    private mutating func drawInitialNoise() throws(RenderError) {
        let scale = sampler.initialNoiseScale
        canvas = try noiseMap(&randomness, of: firstGrid).map { $0 * scale }
    }

    /// The grid of the structure phase where the pass begins with it.
    private var firstGrid: PatchGrid? { pass.first.phase == .structure ? pass.cut?.grid : nil }

    /// Draws what diffusers draws, in its order, and lays the picture's latents out as the run's first phase wants them.
    private mutating func begin(from outputs: [TaskOutput], _ source: SourceUse) throws(RenderError) {
        guard let pixels = request.source else {
            preconditionFailure("pictures came back that nobody sent")
        }
        var moments: [ImageMode.Draw: LatentDistribution] = [:]
        for (draw, output) in zip(source.encodes, outputs) { moments[draw] = distribution(output) }
        var stream = randomness
        var (noise, latents): ([Float], [ImageMode.Draw: [Float]]) = ([], [:])
        for draw in source.mode.draws(strength: source.strength) {
            let map = try noiseMap(&stream, of: draw == .noise ? firstGrid : nil)
            if draw == .noise { noise = map }
            latents[draw] = moments[draw].map {
                model.vae.samplerLatent($0.sample(noise: map), height: pass.latentHeight, width: pass.latentWidth)
            }
        }
        let image = latents[.image] ?? []
        let layOut = { [self] (values: [Float]) in laidOut(values) }
        let start = source.mode.startLatent(
            image: image.isEmpty ? [] : layOut(image), noise: noise, sampler: sampler, strength: source.strength,
            call: pass.firstCall)
        let masked = latents[.maskedImage] ?? []
        for values in [start, image, masked] { try checkRange(values, .picture, 0) }
        guide = SourceGuide(
            source.mode, image: image, noise: noise, mask: try pixels.latentMask(scale: model.scaleFactor) ?? [],
            masked: masked, channels: plan.latentChannels, layOut: layOut)
        (canvas, randomness) = (start, stream)
    }

    /// A canvas as the pass's first phase wants it.
    private func laidOut(_ canvas: [Float]) -> [Float] {
        firstGrid.map { $0.deal(canvas, channels: plan.latentChannels).flatMap(\.self) } ?? canvas
    }

    /// Begins the pass with `image`, a latent of its size, under fresh noise.
    private mutating func begin(fromEnlarged image: [Float]) throws(RenderError) {
        guard case .enlarged(_, let strength) = pass.start else {
            preconditionFailure("a pass that does not begin with the one before")
        }
        canvas = ImageMode.imageToImage.startLatent(
            image: laidOut(image), noise: try noiseMap(&randomness, of: firstGrid), sampler: sampler, strength: strength,
            call: pass.firstCall)
        history = SamplerHistory()
        try checkRange(canvas, .picture, 0)
    }

    /// What follows a call: the pass's next one, the next pass, or the end.
    private mutating func barrier(after position: Int) throws(RenderError) -> Barrier {
        if position + 1 < pass.schedule.count { return try callBarrier(position + 1) }
        guard passIndex + 1 < plan.passes.count else {
            try randomness.requireNothingLeft()
            return decodingBarrier(.decoding)
        }
        let next = plan.passes[passIndex + 1]
        guard case .enlarged(let upscaler, _) = next.start, let kernel = upscaler.kernel else {
            return decodingBarrier(.enlarging)
        }
        let enlarged = LatentResizer.resized(
            canvas, size: (pass.latentHeight, pass.latentWidth), to: (next.latentHeight, next.latentWidth), kernel)
        passIndex += 1
        try begin(fromEnlarged: enlarged)
        return try firstDenoisingBarrier()
    }

    /// The decoded result of a pass, enlarged to the size of the next one, on its way back into a latent.
    private mutating func enlargedPictureBarrier(_ output: TaskOutput) -> Barrier {
        passIndex += 1
        let size = (width: pass.latentWidth * model.scaleFactor, height: pass.latentHeight * model.scaleFactor)
        let rgb = ImageResizer.lanczos(
            output.rgb, channels: 3, size: (output.shape["width"], output.shape["height"]), to: size)
        return picturingBarrier(PictureWork(width: size.width, height: size.height, rgb: rgb, mask: nil))
    }

    /// The mean of the encoder's distribution: noise comes on top of it in any case.
    private mutating func beginEnlarged(from output: TaskOutput) throws(RenderError) {
        try begin(
            fromEnlarged: model.vae.samplerLatent(
                distribution(output).mean, height: pass.latentHeight, width: pass.latentWidth))
    }

    private func distribution(_ output: TaskOutput) -> LatentDistribution {
        let half = output.values.count / 2
        return LatentDistribution(mean: Array(output.values[..<half]), logVariance: Array(output.values[half...]))
    }

    /// Unit noise for the whole latent, or, with `grid`, for all patches of the structure phase, each drawn in turn.
    private func noiseMap(_ stream: inout RenderRandomness, of grid: PatchGrid?) throws(RenderError) -> [Float] {
        guard let grid else {
            return try stream.noise(count: plan.latentChannels * pass.latentHeight * pass.latentWidth)
        }
        var map: [Float] = []
        for _ in 0..<grid.count { map += try stream.noise(count: plan.latentChannels * grid.patchHeight * grid.patchWidth) }
        return map
    }

    /// The patches that lie one after the other in `values`.
    func slices(of values: [Float], _ grid: PatchGrid) -> [[Float]] {
        let size = values.count / grid.count
        return (0..<grid.count).map { Array(values[($0 * size)..<(($0 + 1) * size)]) }
    }

    private func checkRange(_ values: [Float], _ phase: RenderPhase, _ step: Int) throws(RenderError) {
        guard values.allSatisfy({ $0.isFinite }) else {
            throw RenderError(
                .nonFinite, "The latent left the range of numbers in the \(phase.rawValue) phase at step \(step).")
        }
    }

    /// Merges a call's predictions and takes its step. The views' predictions are averaged, then the canvas takes one step: for
    /// the published samplers, whose step is linear, this is the mean of the stepped views; for those with a memory or noise it
    /// is the one right meaning.
    private mutating func complete(
        _ call: PlannedCall, _ layout: Layout, _ outputs: [TaskOutput]
    ) throws(RenderError) {
        let predictions = outputs.map(\.values)
        switch layout {
        case .whole: try takeStep(predictions[0], call)
        case .patches(let interaction):
            let grid = cut.grid
            try takeStep(interaction.restore(predictions).flatMap(\.self), call, of: grid)
            if call.endsPhase { relocate(grid) }
        case .views(let views):
            let average = cut.views.average(
                predictions, channels: plan.latentChannels, views: views, blending: pass.blending)
            try takeStep(average, call)
        }
    }

    /// How the pass's canvas is cut. Only calls of patches and views ask for it.
    var cut: RenderPass.Cut {
        guard let cut = pass.cut else { preconditionFailure("patches and views belong to a pass that is cut") }
        return cut
    }

    /// One call's step of everything there is: sampler, history and noise belong to the canvas, never to a view.
    ///
    /// - Parameter grid: of the patches whose latents `canvas` holds in the structure phase.
    /// - Throws: `.nonFinite`; nothing is changed then.
    private mutating func takeStep(
        _ prediction: [Float], _ call: PlannedCall, of grid: PatchGrid? = nil
    ) throws(RenderError) {
        var (stream, past) = (randomness, history)
        var noise: [[Float]] = []
        for _ in 0..<sampler.noiseMaps(call: call.call) { noise.append(try noiseMap(&stream, of: grid)) }
        let stepped = sampler.step(
            modelOutput: prediction, call: call.call, sample: canvas, noise: noise, history: &past)
        let next = guide.impose(on: stepped, after: call.call, sampler: sampler)
        try checkRange(next, call.phase, call.call)
        (canvas, randomness, history) = (next, stream, past)
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

    private func finish(_ output: TaskOutput) -> RenderedImage {
        let parameters = GenerationParameters(request: request, plan: plan, model: model)
        return RenderedImage(
            width: output.shape["width"], height: output.shape["height"], rgb: output.rgb, parameters: parameters.text,
            details: parameters.details)
    }
}
