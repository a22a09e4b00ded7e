import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import Places
import Resampling
package import Samplers
import Sentences
public import Weights

/// One picture as a sequence of barriers: `start` gives the first, `complete` merges a barrier's outputs and gives the next.
///
/// It is a value without a clock. Its only randomness is its `RenderRandomness`, its only I/O the `PixelFile` of a decoded
/// picture. It merges outputs in task order, so the picture does not depend on the workers and their speed.
public struct RenderMachine: Sendable {
    /// The result of a merge.
    public enum Outcome: Sendable {
        case barrier(Barrier)
        case finished(RenderedImage)
    }

    /// The outputs that the current barrier waits for.
    enum State: Sendable {
        case notStarted
        case encoding
        /// Latents of the source picture, or of an enlarged result.
        case picturing
        /// The call at this position of the pass's schedule.
        case calling(position: Int, Layout)
        /// Moments or pixels of a pass's result.
        case decoding(TiledDecoding)
        case finished
        /// An error ended the render.
        case failed
    }

    /// The way in which a call's inputs were cut from the canvas.
    enum Layout: Sendable {
        case whole
        /// The structure phase: the interaction brings the predictions back to their patches.
        case patches(PixelInteraction)
        /// The detail phase: `merging` has the predictions.
        case views
    }

    public let plan: RenderPlan
    let request: RenderRequest
    let model: ModelDescription
    let resolved: PreparedRender
    var state = State.notStarted
    /// The predictions of the current call's views on their way to their mean. It is no part of `state`: each view changes sums
    /// of the canvas's size in place, and reading a state copies its values when they change next.
    var merging: ViewMerging?
    /// The index of the current pass.
    private(set) var passIndex = 0
    private(set) var context: JobContext
    /// The planar latents: the canvas, or the patches of the structure phase one after the other.
    package private(set) var canvas: [Float] = []
    /// The sampler's memory of the canvas.
    private var history = SamplerHistory()
    private(set) var guide = SourceGuide.none
    var randomness: RenderRandomness
    /// The state of `randomness` before the first draw.
    private let freshRandomness: RenderRandomness
    /// The shape of each output of the current barrier.
    public internal(set) var expectedOutputs: [OutputShape] = []

    /// The current pass and its sampler.
    var pass: RenderPass { plan.passes[passIndex] }
    package var sampler: Sampler { resolved.samplers[passIndex] }

    /// Resolves the request for a model.
    ///
    /// - Parameter loras: has the LoRA files that the request names.
    /// - Throws: `.invalidRequest` for an impossible request, `.notFound` and `.badModel` for LoRA files.
    public init(request: RenderRequest, model: ModelDescription, loras: LoRALibrary = .empty) throws(RenderError) {
        try self.init(request: request, model: model, loras: loras, randomness: RenderRandomness(seed: request.seed))
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

    /// The first barrier: the prompts, a task for each chunk. Another call begins the render anew.
    public mutating func start() -> Barrier {
        context = JobContext(model, conditioning: nil)
        (canvas, history, guide, passIndex, randomness) = ([], SamplerHistory(), .none, 0, freshRandomness)
        merging = nil
        state = .encoding
        return barrier(.encode, resolved.prompts.works)
    }

    /// Goes to a pass without making the ones before, for a forecast.
    mutating func move(toPass index: Int) { passIndex = index }

    /// Takes one output of a barrier that `takesEach`, in any order.
    ///
    /// - Throws: `.malformed` for an output that does not fit its task, `.storage` if the disk has no room for it. An error
    ///   leaves the machine unchanged.
    public mutating func take(_ output: TaskOutput, of index: Int) throws(RenderError) {
        guard takesEach, expectedOutputs.indices.contains(index) else {
            throw .malformed("The barrier takes its outputs together, so it cannot take that of task \(index + 1) alone.")
        }
        try check(output, of: index)
        switch state {
        case .decoding(var decoding):
            try decoding.take(output, of: index)
            state = .decoding(decoding)
        case .calling(_, .views): merging?.take(output.values, of: index)
        default: preconditionFailure("a barrier that takes each output, and is neither a decode nor one of views")
        }
    }

    /// Whether the outputs of the current barrier come one by one.
    var takesEach: Bool {
        switch state {
        case .decoding(let decoding): decoding.isLast
        case .calling(_, .views): true
        default: false
        }
    }

    /// Merges the outputs of the last barrier, in task order. After a barrier that took each output, there are none.
    ///
    /// - Throws: `.malformed` for missing outputs and for outputs that do not fit the tasks, which leaves the machine
    ///   unchanged. `.nonFinite` with phase and step for a latent that left the range of numbers, and `.storage` for a full
    ///   disk, which end the render: it has to start anew.
    public mutating func complete(_ outputs: [TaskOutput]) throws(RenderError) -> Outcome {
        try checkComplete(outputs)
        // In place: a copy would hold a second canvas, and the sampler's memory of the first.
        do throws(RenderError) { return try advance(outputs) } catch {
            state = .failed
            (canvas, history, merging) = ([], SamplerHistory(), nil)
            throw error
        }
    }

    private func checkComplete(_ outputs: [TaskOutput]) throws(RenderError) {
        switch state {
        case .notStarted: throw .malformed("The render has not begun, so there is nothing to merge.")
        case .finished: throw .malformed("The picture is finished, so there is nothing to merge.")
        case .failed: throw .malformed("The render has failed before, so there is nothing to merge: start it anew.")
        case .encoding, .picturing, .calling, .decoding: break
        }
        guard takesEach, outputs.isEmpty else { return try check(outputs) }
        let isComplete = if case .decoding(let decoding) = state { decoding.isComplete } else { merging?.isComplete ?? false }
        guard isComplete else { throw .malformed("A barrier of \(expectedOutputs.count) tasks did not get all outputs.") }
    }

    /// Refuses outputs that do not fit the tasks. The merges rely on it.
    private func check(_ outputs: [TaskOutput]) throws(RenderError) {
        guard outputs.count == expectedOutputs.count else {
            throw .malformed("A barrier of \(expectedOutputs.count) tasks got \(outputs.count) outputs.")
        }
        for (index, output) in outputs.enumerated() { try check(output, of: index) }
    }

    private func check(_ output: TaskOutput, of index: Int) throws(RenderError) {
        guard output.shape == expectedOutputs[index] else {
            throw .malformed("The output of task \(index + 1) is \(output.shape), not \(expectedOutputs[index]).")
        }
        guard output.isFinite else { throw .nonFinite("The output of task \(index + 1)\(place) holds NaN or infinity.") }
    }

    /// The current call, for messages.
    private var place: String {
        guard case .calling(let position, _) = state else { return "" }
        return " in \(pass.schedule[position].place.renamed(\.rawValue).title)"
    }

    /// Forgets the outputs that were taken of the current barrier.
    private mutating func restart() {
        switch state {
        case .decoding(let decoding): state = .decoding(decoding.restarted)
        case .calling(_, .views): merging = merging?.restarted
        default: break
        }
    }

    private mutating func advance(_ outputs: [TaskOutput]) throws(RenderError) -> Outcome {
        if takesEach {
            // All outputs at once are taken one by one. Outputs that were taken before are forgotten.
            if !outputs.isEmpty { restart() }
            for (index, output) in outputs.enumerated() { try take(output, of: index) }
            return try advance()
        }
        switch state {
        case .encoding:
            context = JobContext(model, conditioning: try resolved.prompts.conditioning(outputs))
            if let use = plan.source, let source = request.source { return .barrier(sourceBarrier(use, source)) }
            let scale = sampler.initialNoiseScale
            canvas = try noiseMap(of: firstGrid).map { $0 * scale }
            return .barrier(try callBarrier(0))
        case .picturing:
            if let use = plan.source, let source = request.source {
                try begin(from: outputs, use, source)
            } else {
                // The mean of the encoder's distribution. Fresh noise comes on top of it.
                let mean = distribution(outputs[0]).mean
                try begin(
                    fromEnlarged: model.vae.samplerLatent(mean, height: pass.latentHeight, width: pass.latentWidth))
            }
            return .barrier(try callBarrier(0))
        case .calling(let position, let layout):
            try complete(pass.schedule[position], layout, outputs)
            return .barrier(try barrier(after: position))
        case .decoding(var decoding):
            try decoding.merge(outputs)
            return .barrier(barrier(decoding))
        case .notStarted, .finished, .failed: preconditionFailure("a state without outputs is refused before")
        }
    }
}

// MARK: - Merging

extension RenderMachine {
    /// Goes on after a barrier whose outputs were taken one by one.
    private mutating func advance() throws(RenderError) -> Outcome {
        switch state {
        case .decoding(let decoding):
            guard let pixels = decoding.pixels else { preconditionFailure("a decode with all tiles has pixels") }
            if decoding.purpose == .enlarge { return .barrier(try enlargedPictureBarrier(pixels)) }
            state = .finished
            let parameters = GenerationParameters(request: request, plan: plan, model: model)
            return .finished(RenderedImage(pixels: pixels, parameters: parameters.text, details: parameters.details))
        case .calling(let position, .views):
            guard let mean = merging?.finish() else { preconditionFailure("a barrier with all views has a mean") }
            merging = nil
            try takeStep(mean, pass.schedule[position])
            return .barrier(try barrier(after: position))
        default: preconditionFailure("a barrier that takes each output, and is neither a decode nor one of views")
        }
    }

    /// The grid of the structure phase if the pass begins with it.
    private var firstGrid: PatchGrid? { pass.first.phase == .structure ? pass.cut?.grid : nil }

    /// Begins with the source picture's latents. It makes diffusers' draws in diffusers' order, and lays the latents out for
    /// the first phase.
    private mutating func begin(
        from outputs: [TaskOutput], _ source: SourceUse, _ pixels: SourcePicture
    ) throws(RenderError) {
        let moments = Dictionary(uniqueKeysWithValues: zip(source.encodes, outputs.map(distribution)))
        var (noise, latents): ([Float], [ImageMode.Draw: [Float]]) = ([], [:])
        for draw in source.mode.draws(strength: source.strength) {
            let map = try noiseMap(of: draw == .noise ? firstGrid : nil)
            if draw == .noise { noise = map }
            latents[draw] = moments[draw].map {
                model.vae.samplerLatent($0.sample(noise: map), height: pass.latentHeight, width: pass.latentWidth)
            }
        }
        let image = latents[.image] ?? []
        canvas = source.mode.startLatent(
            image: image.isEmpty ? [] : laidOut(image), noise: noise, sampler: sampler, strength: source.strength,
            call: pass.firstCall)
        let masked = latents[.maskedImage] ?? []
        for values in [canvas, image, masked] { try checkRange(values) }
        guide = SourceGuide(
            source.mode, image: image, noise: noise, mask: try pixels.latentMask(scale: model.scaleFactor) ?? [],
            masked: masked, channels: plan.latentChannels, layOut: laidOut)
    }

    /// A canvas in the layout of the pass's first phase.
    private func laidOut(_ canvas: [Float]) -> [Float] {
        firstGrid.map { $0.deal(canvas, channels: plan.latentChannels).flatMap(\.self) } ?? canvas
    }

    /// Begins the pass with `image`, a latent of its size, and fresh noise on it.
    private mutating func begin(fromEnlarged image: [Float]) throws(RenderError) {
        guard case .enlarged(_, let strength) = pass.start else {
            preconditionFailure("a pass that does not begin with the one before")
        }
        canvas = ImageMode.imageToImage.startLatent(
            image: laidOut(image), noise: try noiseMap(of: firstGrid), sampler: sampler, strength: strength,
            call: pass.firstCall)
        history = SamplerHistory()
        try checkRange(canvas)
    }

    /// The barrier after a call: the pass's next call, the next pass, or the decoding.
    private mutating func barrier(after position: Int) throws(RenderError) -> Barrier {
        if position + 1 < pass.schedule.count { return try callBarrier(position + 1) }
        guard passIndex + 1 < plan.passes.count else {
            try randomness.requireNothingLeft()
            return decodingBarrier(.finish)
        }
        let next = plan.passes[passIndex + 1]
        guard case .enlarged(let upscaler, _) = next.start, let kernel = upscaler.kernel else {
            return decodingBarrier(.enlarge)
        }
        let enlarged = LatentResizer.resized(
            canvas, size: (pass.latentHeight, pass.latentWidth), to: (next.latentHeight, next.latentWidth), kernel)
        passIndex += 1
        try begin(fromEnlarged: enlarged)
        return try callBarrier(0)
    }

    /// The decoded result of a pass, enlarged to the size of the next one, for the encoder.
    private mutating func enlargedPictureBarrier(_ picture: PixelFile) throws(RenderError) -> Barrier {
        passIndex += 1
        let size = (width: pass.latentWidth * model.scaleFactor, height: pass.latentHeight * model.scaleFactor)
        let rgb = ImageResizer.lanczos(
            try picture.rows(0..<picture.height), channels: 3, size: (picture.width, picture.height), to: size)
        state = .picturing
        return barrier(.picture, [PictureWork(width: size.width, height: size.height, rgb: rgb, mask: nil)])
    }

    private func distribution(_ output: TaskOutput) -> LatentDistribution {
        let half = output.values.count / 2
        return LatentDistribution(mean: Array(output.values[..<half]), logVariance: Array(output.values[half...]))
    }

    /// Unit noise in diffusers' order: for the whole latent, or for each patch of the grid in turn.
    private mutating func noiseMap(of grid: PatchGrid?) throws(RenderError) -> [Float] {
        let (count, height, width) =
            grid.map { ($0.count, $0.patchHeight, $0.patchWidth) } ?? (1, pass.latentHeight, pass.latentWidth)
        let size = plan.latentChannels * height * width
        guard count > 1 else { return try randomness.noise(count: size) }
        var map: [Float] = []
        map.reserveCapacity(count * size)
        for _ in 0..<count { map += try randomness.noise(count: size) }
        return map
    }

    /// The patches that lie one after the other in `values`.
    func slices(of values: [Float], _ grid: PatchGrid) -> [[Float]] {
        let size = values.count / grid.count
        return (0..<grid.count).map { Array(values[($0 * size)..<(($0 + 1) * size)]) }
    }

    /// - Parameter call: the one before; nil at the beginning of a pass.
    private func checkRange(_ values: [Float], after call: PlannedCall? = nil) throws(RenderError) {
        guard values.allSatisfy({ $0.isFinite }) else {
            let (word, place) = call.map { ("after", $0.place) } ?? ("before", pass.first.place)
            throw .nonFinite("The latent left the range of numbers \(word) \(place.renamed(\.rawValue).title).")
        }
    }

    /// Merges a call's predictions and takes its step.
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
        case .views: preconditionFailure("views are taken one by one")
        }
    }

    /// The cut of the pass's canvas. Only calls of patches and views need it.
    var cut: RenderPass.Cut {
        guard let cut = pass.cut else { preconditionFailure("patches and views belong to a pass that is cut") }
        return cut
    }

    /// The whole canvas takes one call's step: sampler, history and noise belong to the canvas, never to a view.
    ///
    /// - Parameter grid: of the patches that `canvas` holds in the structure phase.
    private mutating func takeStep(
        _ prediction: [Float], _ call: PlannedCall, of grid: PatchGrid? = nil
    ) throws(RenderError) {
        var noise: [[Float]] = []
        for _ in 0..<sampler.noiseMaps(call: call.call) { noise.append(try noiseMap(of: grid)) }
        let stepped = sampler.step(
            modelOutput: prediction, call: call.call, sample: canvas, noise: noise, history: &history)
        canvas = guide.impose(on: stepped, after: call.call, sampler: sampler)
        try checkRange(canvas, after: call)
    }

    /// Deals the patches into the canvas, and also the sampler's memory and the guide's latents.
    private mutating func relocate(_ grid: PatchGrid) {
        let dealt = { [self] (patches: [Float]) in
            grid.relocate(slices(of: patches, grid), channels: plan.latentChannels)
        }
        canvas = dealt(canvas)
        history.mapArrays(dealt)
        guide.relocate(dealt)
    }
}
