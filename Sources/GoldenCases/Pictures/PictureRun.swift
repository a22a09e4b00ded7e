import Acceleration
import Rendering
import TensorCore

/// One picture of a case: the program's machine plans and merges, and a worker's runner computes the tasks.
struct PictureRun {
    private(set) var machine: RenderMachine
    /// The next barrier; the last one after the picture is done.
    private(set) var barrier: Barrier
    private(set) var image: RenderedImage?
    private let model: LoadedModel

    /// - Parameter description: of `model`, with the case's changes.
    init(
        _ request: RenderRequest, _ description: ModelDescription, _ randomness: RenderRandomness, _ model: LoadedModel
    ) throws {
        machine = try RenderMachine(request: request, model: description, randomness: randomness)
        barrier = machine.start()
        self.model = model
    }

    /// The outputs of the barrier's tasks. Context, tasks and outputs go through their wire form.
    func outputs() throws -> [TaskOutput] {
        for context in [barrier.base, barrier.context].compactMap({ $0?.encoded() }) {
            try model.runner.open(JobContext(metadata: context.metadata, payload: context.payload))
        }
        return try zip(barrier.tasks, machine.expectedOutputs).map { task, shape in
            let sent = task.encoded()
            let output = try model.runner.run(RenderTask(metadata: sent.metadata, payload: sent.payload)).encoded()
            return try TaskOutput(shape, metadata: output.metadata, payload: output.payload)
        }
    }

    mutating func merge(_ outputs: [TaskOutput]) throws {
        switch try machine.complete(outputs) {
        case .barrier(let next): barrier = next
        case .finished(let image): self.image = image
        }
    }

    /// Changes the tasks of the next barrier.
    mutating func changeTasks(_ change: (inout RenderTask) throws -> Void) rethrows {
        for index in barrier.tasks.indices { try change(&barrier.tasks[index]) }
    }

    /// Computes the calls of the U-Net.
    ///
    /// - Parameter prepare: runs before each call.
    /// - Returns: the latent after each call, (calls, c, h, w), and the switches of each.
    mutating func denoise(
        _ prepare: (inout PictureRun) throws -> Void = { _ in }
    ) throws -> (latents: GoldenTensor, switches: [UNetSwitches]) {
        var (latents, switches): ([Float], [UNetSwitches]) = ([], [])
        while let work = barrier.tasks[0].work as? DenoiseWork {
            switches.append(work.switches)
            try prepare(&self)
            try merge(outputs())
            latents += machine.canvas
        }
        let plan = machine.plan
        let shape = [switches.count, plan.latentChannels, plan.latentHeight, plan.latentWidth]
        return (GoldenTensor(latents, shape: shape), switches)
    }

    /// Decodes the finished latent.
    ///
    /// - Returns: `image`, (3, h, w) of values from 0 to 1, and `image_u8`, the machine's own picture, which must be these
    ///   numbers in 8 bits.
    mutating func decode() throws -> [String: GoldenTensor] {
        guard case .latent(let latent, _, _) = barrier.context.tiles else { throw GoldenError.failed("the run has not ended") }
        let shape = [1, latent.channels, latent.height, latent.width]
        let decoded = try NetworkCases.decode(latent.values, shape: shape, model.networks.decoder())
        let exact = decoded.planarArray.map { min(1, max(0, $0 / 2 + 0.5)) }
        while image == nil { try merge(outputs()) }
        guard let image = image?.pixels, case let rgb = try image.rgb, rgb.count == exact.count else {
            throw GoldenError.failed("the run gave no picture")
        }
        let plane = image.width * image.height
        let bytes = exact.indices.map { Int(rgb[$0 % plane * 3 + $0 / plane]) }
        guard zip(exact, bytes).allSatisfy({ Int(($0 * 255).rounded(.toNearestOrEven)) == $1 }) else {
            throw GoldenError.failed("the picture is not the decoded latent in 8 bits")
        }
        let sides = [3, image.height, image.width]
        return ["image": GoldenTensor(exact, shape: sides), "image_u8": GoldenTensor(integers: bytes, shape: sides)]
    }

    /// The encoded prompts by their names in cases.
    func conditioning() throws -> [String: GoldenTensor] {
        guard let text = barrier.context.conditioning else { throw GoldenError.failed("no prompt was encoded") }
        var tensors: [String: GoldenTensor] = [:]
        let parts = [
            ("prompt_embeds", text.values, [text.tokens, text.width]),
            ("pooled_prompt_embeds", text.pooled, [text.pooled.count / text.rows]),
        ]
        for (name, values, shape) in parts where !values.isEmpty {
            let size = values.count / text.rows
            tensors[name] = GoldenTensor(Array(values.suffix(size)), shape: shape)
            if text.rows == 2 { tensors["negative_" + name] = GoldenTensor(Array(values.prefix(size)), shape: shape) }
        }
        return tensors
    }
}
