import PatchGeometry
import RandomStreams
import Rendering
import Samplers
import StrictJSON

/// A whole CutDiffusion run with recorded noise, permutations, views and embeddings.
struct CutDiffusionPipeline {
    private let run: CaseRun
    private let request: RenderRequest
    private let model: ModelDescription
    private let plan: RenderPlan
    private let cut: RenderPass.Cut
    private let grid: PatchGrid

    static func run(_ run: CaseRun) throws { try CutDiffusionPipeline(run).render() }

    private init(_ run: CaseRun) throws {
        self.run = run
        let parameters = run.parameters
        let pipeline = try PipelineRequest(run)
        var (request, model) = (try pipeline.request(0), pipeline.model)
        // The case has the encoded prompts, so their text does not matter. Only the number of rows does.
        (request.prompt, request.negativePrompt, model.zeroesEmptyPrompt) = ("", "", false)
        let side = try parameters.integer("native_patch", in: 1...4096)
        (request.method, request.patch) = (.cut, side * model.scaleFactor)
        request.stride = try parameters.integer("stride", in: 1...4096) * model.scaleFactor
        request.structureFraction = StructureFraction(try parameters.value("proportion").canonicalText)
        request.detailGuidanceScale = Float(try parameters.number("detail_guidance"))
        let machine = try RenderMachine(request: request, model: model)
        (self.request, self.model, plan) = (request, model, machine.plan)
        guard let cut = plan.cut, request.structureFraction != nil else {
            throw GoldenError.failed("\"proportion\" must be a decimal between 0 and 1")
        }
        self.cut = cut
        grid = try PatchGrid(height: pipeline.height, width: pipeline.width, patch: side)
        let sampler = machine.sampler
        run.produce("timesteps", GoldenTensor(shape: [plan.calls], values: .reals(sampler.timesteps)))
        run.produce("sigmas", GoldenTensor(sampler.sigmas, shape: [sampler.sigmas.count]))
    }

    private func render() throws {
        var picture = try PictureRun(request, model, randomness(), run.model())
        try picture.merge([embeddings(picture.machine.expectedOutputs[0])])
        var ids: [Float] = []
        let latents = try picture.denoise { try prepare(&$0, &ids) }.latents.slices
        produce(latents, ids)
        guard run.expects("image") else { return }
        run.produce("image", try GoldenTensor(stacking: [picture.decode()].compactMap { $0["image"] }))
    }

    /// The recorded embeddings, negative prompt first.
    private func embeddings(_ shape: OutputShape) throws -> TaskOutput {
        let (rows, tokens, width) = (shape["rows"], shape["tokens"], shape["width"])
        var (values, pooled): ([Float], [Float]) = ([], [])
        for prefix in ["negative_", ""].suffix(rows) {
            values += try run.input(prefix + "prompt_embeds", [1, tokens, width]).floats
            pooled += try run.input(prefix + "pooled_prompt_embeds", [1, shape["pooled"]]).floats
        }
        return .embeddings(rows: rows, tokens: tokens, width: width, values: values, pooled: pooled)
    }

    // MARK: Phases

    /// Before a call of the detail phase: collects its tasks' sizes, and makes the reference's slip.
    private func prepare(_ picture: inout PictureRun, _ ids: inout [Float]) throws {
        guard picture.barrier.phase == .detail else { return }
        for task in picture.barrier.tasks {
            guard let own = (task.work as? DenoiseWork)?.timeIDs else {
                throw GoldenError.failed("the model is not of SDXL's kind")
            }
            // One row for each guidance half, as the reference hands them to its U-Net.
            ids += plan.detailGuidanceScale > 1 ? own + own : own
        }
        if try run.parameters.flag("quirk_q1") { try slip(&picture) }
    }

    private func produce(_ latents: [[Float]], _ ids: [Float]) {
        let (structure, detail) = (latents.prefix(cut.structureEnd), latents.dropFirst(cut.structureEnd))
        let relocated = structure.last ?? []
        // After the last structure step the machine has dealt the patches into the canvas.
        let last = grid.deal(relocated, channels: plan.latentChannels)
        let patch = [grid.count, plan.latentChannels, grid.patchHeight, grid.patchWidth]
        run.produce(
            "structure_latents",
            GoldenTensor((structure.dropLast() + last).flatMap(\.self), shape: [structure.count] + patch))
        run.produce("relocated", GoldenTensor(relocated, shape: canvasShape))
        run.produce("detail_latents", GoldenTensor(detail.flatMap(\.self), shape: [detail.count] + canvasShape))
        run.produce("detail_time_ids", GoldenTensor(ids, shape: [detail.count, ids.count / (6 * detail.count), 6]))
    }

    /// The reference's wrong sigma (spec 1.10, Q1). It scales the views of a step's first batch with the sigma of that step,
    /// and the views of all other batches with the sigma of the next step. Some recordings show it; the program always takes
    /// the sigma of the step.
    private func slip(_ picture: inout PictureRun) throws {
        let sigmas = picture.machine.sampler.sigmas
        let batch = try run.parameters.integer("view_batch_size", in: 1...65536)
        guard sigmas.count == plan.calls + 1 else { throw GoldenError.unsupported("the slip is implemented for Euler only") }
        picture.changeTasks { task in
            guard task.index >= batch, var work = task.work as? DenoiseWork else { return }
            let (own, next) = (sigmas[task.call], sigmas[task.call + 1])
            let factor = ((own * own + 1) / (next * next + 1)).squareRoot()
            for index in work.latent.values.indices { work.latent.values[index] *= factor }
            task.work = work
        }
    }

    private var canvasShape: [Int] { [1, plan.latentChannels, plan.latentHeight, plan.latentWidth] }

    // MARK: Chance

    /// The recorded draws. They must be the draws that the seed gives in the reference.
    private func randomness() throws -> RenderRandomness {
        var draws = RecordedDraws()
        let patch = [plan.latentChannels, grid.patchHeight, grid.patchWidth]
        draws.noise = try run.input("initial_noise", [grid.count] + patch).floats
        draws.interactions = try interactions(patch)
        draws.views = try views()
        return RenderRandomness(seed: request.seed, recorded: draws)
    }

    /// The permutations of each structure step. Without interaction nothing moves.
    private func interactions(_ patch: [Int]) throws -> [Int: PixelInteraction] {
        let steps = 0..<cut.structureEnd
        let (positions, count) = (patch.reduce(1, *), grid.count)
        guard try run.parameters.flag("shuffle"), count > 1 else {
            let none = PixelInteraction(patchCount: count, positionCount: positions) { _ in Array(0..<count) }
            return Dictionary(uniqueKeysWithValues: steps.map { ($0, none) })
        }
        let (values, _) = try run.integers("permutations", [steps.count] + patch + [count])
        var stream = TorchCPUGenerator(seed: request.seed)
        var interactions: [Int: PixelInteraction] = [:]
        for step in steps {
            let own = values[(step * positions * count)..<((step + 1) * positions * count)]
            let drawn = (0..<positions).flatMap { _ in stream.permutation(count: count) }
            guard drawn.elementsEqual(own) else {
                throw GoldenError.failed("torch draws other permutations from the seed than those of step \(step)")
            }
            // The reference's Euler step draws noise for all patches from the same stream, and does not use it.
            _ = stream.normals(count: positions * count)
            interactions[step] = try CutDiffusionCases.interaction(own, patchCount: count)
        }
        return interactions
    }

    private func views() throws -> [Int: [CanvasView]] {
        let grid = try ViewGrid(
            height: plan.latentHeight, width: plan.latentWidth, view: cut.viewHeight, stride: cut.stride)
        let steps = plan.calls - cut.structureEnd
        let (corners, _) = try run.integers("views", [steps, grid.count, 4])
        var random = PythonRandom(seed: request.seed)
        var views: [Int: [CanvasView]] = [:]
        for step in 0..<steps {
            let boxes = try CutDiffusionCases.views(
                Array(corners[(step * grid.count * 4)..<((step + 1) * grid.count * 4)]), grid)
            guard boxes == grid.jitteredViews(using: &random) else {
                throw GoldenError.failed("Python draws other views from the seed than those of detail step \(step)")
            }
            views[cut.structureEnd + step] = boxes
        }
        return views
    }
}
