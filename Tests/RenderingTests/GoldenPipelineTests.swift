import ContentHash
import RandomStreams
import Samplers
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Whole runs of diffusers' pipelines against the machine and the worker's side: the machine gives the tasks, which are run on
/// the golden latents instead of those of its own noise.
@Suite struct GoldenPipelineTests {
    /// Cases of one picture whose settings a request can say.
    static let cases = GoldenFiles.cases("txt2img").filter { files in
        guard let model = files.params["model"]?.stringValue, GoldenModels.exists(model) else { return false }
        return files.params["prompt"]?.stringValue != nil && files.params["prompt_2"] == nil
    }

    @Test func thereAreCases() { #expect(Self.cases.count >= 3) }

    @Test(arguments: cases) func theRunIsDiffusers(_ files: GoldenFiles) throws {
        var run = try GoldenRun(files)
        try run.checkPrompts()
        try run.checkSteps()
        try run.checkPicture()
    }
}

/// One golden case on its way through the machine.
private struct GoldenRun {
    private let files: GoldenFiles
    let model: ModelDescription
    private let runner: TaskRunner
    private var machine: RenderMachine
    private var barrier: Barrier
    private var sample: [Float]
    /// The context that takes the place of the machine's.
    private var replacement: SHA256Digest?

    init(_ files: GoldenFiles) throws {
        self.files = files
        let params = files.params
        let name = try #require(params["model"]?.stringValue)
        let isXL = name.contains("sdxl") || name.contains("playground")
        // An empty negative prompt that is given is encoded; one that is not given is zeros, which is what ours stands for.
        let zeroes = params["negative_prompt"] == nil
        let source = try GoldenModels.source(
            name, setting: isXL ? ["model_index.json": ["force_zeros_for_empty_prompt": .bool(zeroes)]] : [:],
            scheduler: params["scheduler_config"])
        model = try ModelDescription(source: source)
        runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        machine = try RenderMachine(request: Self.request(params, isXL: isXL), model: model)
        barrier = machine.start()
        sample = files.inputs.floats("latents")
    }

    private static func request(_ params: JSONValue, isXL: Bool) throws -> RenderRequest {
        try request { request in
            request.prompt = try #require(params["prompt"]?.stringValue)
            request.negativePrompt = params["negative_prompt"]?.stringValue ?? ""
            request.width = try #require(params["w"]?.intValue) * 8
            request.height = try #require(params["h"]?.intValue) * 8
            request.steps = params["steps"]?.intValue
            request.guidanceScale = params["guidance"]?.doubleValue.map { Float($0) }
            request.guidanceRescale = params["guidance_rescale"]?.doubleValue.map { Float($0) } ?? 0
            request.eta = params["eta"]?.doubleValue.map { Float($0) }
            // diffusers counts the layers that are left out beyond the usual ones.
            request.clipSkip = params["clip_skip"]?.intValue.map { $0 + (isXL ? 2 : 1) }
            (request.method, request.hiDiffusion) = (.direct, .off)
        }
    }

    private static func request(_ change: (inout RenderRequest) throws -> Void) rethrows -> RenderRequest {
        var request = RenderRequest()
        try change(&request)
        return request
    }

    /// Runs the barrier's tasks on the networks and merges them.
    private mutating func advance(_ outputs: [TaskOutput]) throws {
        guard case .barrier(let next) = try machine.complete(outputs) else {
            throw RenderError(.malformed, "The render ended too early.")
        }
        barrier = next
        try runner.open(barrier.context)
    }

    /// The ids, prompt first, and the encoded prompts.
    mutating func checkPrompts() throws {
        guard barrier.tasks.count == 1, case .encode(let work) = barrier.tasks[0].work else {
            throw RenderError(.malformed, "The first task encodes.")
        }
        for (name, rows) in zip(["input_ids", "input_ids_2"], work.ids) {
            let expected = files.expected.integerRows(name)
            for (row, golden) in zip(rows.reversed(), expected) { #expect(row.map(Int.init) == golden, "\(files): \(name)") }
        }
        try runner.open(barrier.context)
        try advance([runner.run(barrier.tasks[0])])
        let text = try #require(barrier.context.conditioning)
        #expect((text.rows == 2) == files.expected.contains("negative_prompt_embeds"))
        for (values, suffix) in [(text.values, "prompt_embeds"), (text.pooled, "pooled_prompt_embeds")] where !values.isEmpty {
            let size = values.count / text.rows
            #expect(files.mismatch(suffix, Array(values.suffix(size))) == nil, "\(files)")
            // diffusers leaves the negative prompt's layers alone; A1111's web UI, stable-diffusion.cpp and we do not.
            guard text.rows == 2, files.params["clip_skip"] == nil else { continue }
            #expect(files.mismatch("negative_" + suffix, Array(values.prefix(size))) == nil, "\(files)")
        }
        if text.rows == 2, files.params["clip_skip"] != nil { try replaceNegative(text) }
    }

    /// Goes on with the golden negative prompt.
    private mutating func replaceNegative(_ text: JobContext.Conditioning) throws {
        var text = text
        text.values.replaceSubrange(..<(text.values.count / 2), with: files.expected.floats("negative_prompt_embeds"))
        let context = JobContext(modelIdentity: barrier.context.modelIdentity, conditioning: text)
        try runner.open(context)
        replacement = context.hash
    }

    /// The latent after every call.
    mutating func checkSteps() throws {
        let sampler = try Sampler(
            model.scheduler, steps: machine.plan.steps, eta: files.params["eta"]?.doubleValue)
        let noises = files.inputs.contains("step_noises") ? files.inputs.rows("step_noises") : []
        var (history, drawn, latents) = (SamplerHistory(), 0, [Float]())
        sample = sample.map { $0 * sampler.initialNoiseScale }
        #expect(machine.plan.calls == files.expected.shape("latents_steps")[0])
        for call in 0..<machine.plan.calls {
            var task = barrier.tasks[0]
            guard case .denoise(var work) = task.work else { throw RenderError(.malformed, "A task of a step denoises.") }
            work.latent.values = sampler.scaleInput(sample, call: call)
            task.work = .denoise(work)
            task.contextHash = replacement ?? task.contextHash
            let output = try runner.run(task)
            guard case .prediction(let prediction) = output else { throw RenderError(.malformed, "It gives a prediction.") }
            let fresh = noises.dropFirst(drawn).prefix(sampler.noiseMaps(call: call))
            drawn += fresh.count
            sample = sampler.step(
                modelOutput: prediction.values, call: call, sample: sample, noise: Array(fresh), history: &history)
            latents += sample
            try advance([output])
        }
        #expect(files.mismatch("latents_steps", latents) == nil, "\(files)")
    }

    /// The decoded picture, as near as 8 bits come.
    mutating func checkPicture() throws {
        var task = barrier.tasks[0]
        guard files.expected.contains("image"), case .decode(var latent) = task.work else { return }
        latent.values = sample
        task.work = .decode(latent)
        guard case .pixels(let width, let height, let rgb) = try runner.run(task) else {
            throw RenderError(.malformed, "Decoding gives pixels.")
        }
        let golden = files.expected.floats("image")
        #expect(golden.count == rgb.count)
        for index in rgb.indices {
            let (channel, point) = (index % 3, index / 3)
            let difference = abs(Float(rgb[index]) / 255 - golden[channel * width * height + point])
            guard difference > 0.5 / 255 + 6e-3 else { continue }
            Issue.record("\(files): the picture is \(difference) off at \(point)")
            break
        }
    }
}
