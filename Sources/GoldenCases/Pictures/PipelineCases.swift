import Acceleration
import DiffusionModels
import ImageConditioning
import RandomStreams
import Rendering
import Samplers
import StrictJSON

/// Whole runs from prompt to picture, by the program's own machine.
enum PipelineCases {
    static func textToImage(_ run: CaseRun) throws {
        try refuse(run.parameters, ["strength", "denoising_end"])
        let pipeline = try PipelineRequest(run)
        try produceIDs(pipeline)
        let noise = try initialNoise(pipeline)
        let isDrawn = pipeline.prompts.count == 1 && !run.hasInput("latents") && !run.hasInput("step_noises")
        try render(pipeline) { row in
            isDrawn
                ? RenderRandomness(seed: try pipeline.request(row).seed)
                : recorded(try [noise.slice(row)] + stepNoises(run, row))
        }
    }

    /// Options of these pipelines that no case shows.
    private static let imageOptions = [
        "crops_coords_top_left", "denoising_end", "denoising_start", "negative_original_size", "negative_target_size",
        "padding_mask_crop",
    ]

    static func imageToImage(_ run: CaseRun) throws {
        try refuse(run.parameters, imageOptions)
        let pipeline = try PipelineRequest(run, from: .picture)
        try produceIDs(pipeline)
        let draws = try ["vae_noise", "noise"].map { try run.input($0, latentShape(pipeline)).floats }
        try render(pipeline) { recorded(draws + (try stepNoises(run, $0))) }
    }

    static func inpaint(_ run: CaseRun) throws {
        try refuse(run.parameters, imageOptions)
        let pipeline = try PipelineRequest(run, from: .maskedPicture)
        try produceIDs(pipeline)
        // The draws in the reference's order. The machine must ask for them in this order.
        let draws = try run.parameters.strings("draw_order").map { try run.input($0, latentShape(pipeline)).floats }
        try render(pipeline) { recorded(draws + (try stepNoises(run, $0))) }
    }

    static func hiDiffusion(_ run: CaseRun) throws {
        let isFromPicture: Bool
        switch try run.parameters.optionalString("task") {
        case nil: isFromPicture = false
        case "img2img": isFromPicture = true
        case .some(let task): throw GoldenError.unsupported("the task \(task) is not implemented")
        }
        let pipeline = try PipelineRequest(run, from: isFromPicture ? .picture : .none, hiDiffusion: true)
        var noises: [[Float]] = []
        while run.hasInput("draw_\(noises.count)") {
            noises.append(try run.input("draw_\(noises.count)", latentShape(pipeline)).floats)
        }
        if pipeline.source == nil { noises.insert(try initialNoise(pipeline).floats, at: 0) }
        let plan = try RenderMachine(request: pipeline.request(0), model: pipeline.model).plan
        let calls = plan.calls - plan.firstCall
        let (shifts, shape) = try run.integers("shifts", [calls, nil])
        let rows = try (0..<calls).map { call in
            try HiDiffusionCases.windowShifts(Array(shifts[(call * shape[1])..<((call + 1) * shape[1])]))
        }
        let switches = try render(pipeline) { _ in
            recorded(noises, windowShifts: Dictionary(uniqueKeysWithValues: zip(plan.firstCall..., rows)))
        }
        let pairs = switches.map { JSONValue.array([.integer($0.rad ? 1 : 0), .integer($0.pool ? 1 : 0)]) }
        guard try run.parameters.value("rad_pool_per_step") == .array(pairs) else {
            throw GoldenError.failed("the switches of the steps are not those of the reference")
        }
    }

    private static func refuse(_ parameters: Parameters, _ options: [String]) throws {
        for option in options where parameters.has(option) {
            throw GoldenError.unsupported("the option \(option) is not implemented")
        }
    }

    // MARK: Chance

    private static func recorded(_ noises: [[Float]], windowShifts: [Int: [UInt8]] = [:]) -> RenderRandomness {
        var draws = RecordedDraws()
        (draws.noise, draws.windowShifts) = (noises.flatMap(\.self), windowShifts)
        return RenderRandomness(seed: 0, recorded: draws)
    }

    private static func latentShape(_ pipeline: PipelineRequest) -> [Int?] {
        [pipeline.prompts.count, pipeline.model.latentChannels, pipeline.height, pipeline.width]
    }

    /// Unit noise for every prompt: given, or drawn as PyTorch draws it on the CPU.
    private static func initialNoise(_ pipeline: PipelineRequest) throws -> GoldenTensor {
        let (run, shape) = (pipeline.run, latentShape(pipeline))
        guard run.parameters.has("seed"), !run.hasInput("latents") else { return try run.input("latents", shape) }
        var generator = TorchCPUGenerator(seed: try run.parameters.seed("seed"))
        let sides = shape.compactMap(\.self)
        return GoldenTensor(generator.normals(count: sides.reduce(1, *)), shape: sides)
    }

    /// The sampler's draws for one of the prompts.
    private static func stepNoises(_ run: CaseRun, _ row: Int) throws -> [[Float]] {
        guard run.hasInput("step_noises") else { return [] }
        let noises = try run.input("step_noises", [nil, nil, nil, nil, nil])
        guard row < noises.shape[1] else { throw GoldenError.failed("step_noises has no draws for prompt \(row)") }
        return noises.slices.map { GoldenTensor($0, shape: Array(noises.shape.dropFirst())).slice(row) }
    }

    // MARK: Running

    /// The ids: one row a prompt of a list; prompt and negative prompt otherwise.
    private static func produceIDs(_ pipeline: PipelineRequest) throws {
        var rows: [[[Int32]]] = []
        for row in pipeline.prompts.indices {
            guard let work = try pipeline.text(row).barrier.tasks.first?.work as? EncodeWork else {
                throw GoldenError.failed("the first task encodes no prompt")
            }
            let isSingle = pipeline.run.parameters.json["prompt"]?.stringValue != nil
            for (encoder, ids) in work.ids.enumerated() {
                if rows.count == encoder { rows.append([]) }
                rows[encoder] += isSingle ? ids.reversed() : [ids[ids.count - 1]]
            }
        }
        for (name, ids) in zip(["input_ids", "input_ids_2"], rows) {
            pipeline.run.produce(
                name, GoldenTensor(integers: ids.flatMap { $0.map(Int.init) }, shape: [ids.count, ids[0].count]))
        }
    }

    /// Renders every prompt's picture and produces embeddings, timesteps, the latent after every call and the picture.
    ///
    /// - Returns: the U-Net's switches in each call.
    @discardableResult
    private static func render(
        _ pipeline: PipelineRequest, chance: (Int) throws -> RenderRandomness
    ) throws -> [UNetSwitches] {
        let run = pipeline.run
        let isDecoded = run.expects("image") || run.expects("image_u8")
        var (rows, steps, switches): ([String: [GoldenTensor]], [GoldenTensor], [UNetSwitches]) = ([:], [], [])
        for row in pipeline.prompts.indices {
            var picture = try PictureRun(pipeline.request(row), pipeline.model, chance(row), run.model())
            try picture.merge(encoded(picture, pipeline, row))
            var tensors = try picture.conditioning()
            try pipeline.source?.merge(into: &picture, pipeline)
            let latents: GoldenTensor
            (latents, switches) = try picture.denoise()
            steps.append(latents)
            let timesteps = picture.machine.sampler.timesteps
            run.produce("timesteps", GoldenTensor(shape: [timesteps.count], values: .reals(timesteps)))
            if isDecoded { try tensors.merge(picture.decode()) { $1 } }
            for (name, tensor) in tensors { rows[name, default: []].append(tensor) }
        }
        for (name, tensors) in rows where !name.hasPrefix("image") || run.expects(name) {
            run.produce(name, try GoldenTensor(stacking: tensors))
        }
        let calls = try (0..<switches.count).map { call in
            try GoldenTensor(stacking: steps.map { GoldenTensor($0.slice(call), shape: Array($0.shape.dropFirst())) })
        }
        run.produce("latents_steps", try GoldenTensor(stacking: calls))
        return switches
    }

    /// The outputs of the tasks that encode prompts.
    private static func encoded(_ picture: PictureRun, _ pipeline: PipelineRequest, _ row: Int) throws -> [TaskOutput] {
        let outputs = try picture.outputs()
        let shape = outputs[0].shape
        guard pipeline.run.parameters.has("clip_skip"), outputs.count == 1, shape["rows"] == 2 else { return outputs }
        let plain = try pipeline.text(row).outputs()[0]
        let (tokens, width, pooledWidth) = (shape["tokens"], shape["width"], shape["pooled"])
        let count = tokens * width
        var (values, pooled) = (Array(outputs[0].values.prefix(2 * count)), Array(outputs[0].values.dropFirst(2 * count)))
        // The reference leaves out no layers for the negative prompt, the program leaves out as many as for the prompt.
        values.replaceSubrange(..<count, with: plain.values.prefix(count))
        pooled.replaceSubrange(
            ..<pooledWidth, with: plain.values.dropFirst(plain.shape["rows"] * count).prefix(pooledWidth))
        return [.embeddings(rows: 2, tokens: tokens, width: width, values: values, pooled: pooled)]
    }
}
