import Acceleration
import Rendering
import Samplers
import TensorCore

/// One call of the U-Net in a case. The program's machine decides the call's switches; a worker's runner computes it on the
/// case's own latent, timestep and embeddings.
struct CallRun {
    private let run: CaseRun
    private let model: LoadedModel
    private let request: RenderRequest
    private let description: ModelDescription
    private let sample: GoldenTensor
    /// The call of the render.
    private let call: Int

    /// - Parameters:
    ///   - call: the compared call of the render, and the number of calls.
    ///   - change: applies the case's settings to the request.
    init(_ run: CaseRun, call: Int = 0, of calls: Int = 1, _ change: (inout RenderRequest) throws -> Void) throws {
        (self.run, self.call) = (run, call)
        model = try run.model()
        var description = try ModelDescription(source: model.source)
        sample = try run.input("sample", [nil, description.latentChannels, nil, nil])
        let (height, width) = (sample.shape[2], sample.shape[3])
        var request = RenderRequest()
        (request.width, request.height) = (width * description.scaleFactor, height * description.scaleFactor)
        (request.method, request.hiDiffusion, request.guidanceScale) = (.direct, .off, 1)
        // A sampler of one call a step, without noise.
        (request.steps, request.samplingMethod) = (calls, .ddim)
        try change(&request)
        // The case has the encoded prompts, so their text does not matter. Only the number of rows does.
        description.zeroesEmptyPrompt = false
        // The largest side at which the program leaves HiDiffusion on: its own rules for small models then say nothing.
        if request.hiDiffusion == .on { description.sampleSize = max(1, min(height, width) * 2 / 3) }
        (self.request, self.description) = (request, description)
    }

    /// Produces the prediction for every row of the sample. A task has one picture, so each row is a task of its own.
    ///
    /// - Parameters:
    ///   - draws: the recorded draws up to the call. Noise is added, because the machine asks for it; its values do not matter.
    ///   - change: undoes differences between the program and the reference.
    func produce(_ draws: RecordedDraws = RecordedDraws(), changing change: (inout UNetSwitches) throws -> Void = { _ in })
        throws
    {
        var draws = draws
        draws.noise = [Float](repeating: 0, count: sample.count / sample.shape[0])
        let rows = try (0..<sample.shape[0]).map { row in
            var picture = try PictureRun(request, description, RenderRandomness(seed: 0, recorded: draws), model)
            try picture.merge([picture.embeddings(run, row, of: sample.shape[0])])
            for _ in 0..<call { try picture.merge([.prediction(latent([Float](repeating: 0, count: draws.noise.count)))]) }
            try picture.changeTasks { task in
                guard var work = task.work as? DenoiseWork else { throw GoldenError.failed("the run has no call \(call)") }
                work.latent = latent(sample.slice(row))
                let timesteps = try run.input("timestep", [nil]).floats
                work.timestep = timesteps[timesteps.count == 1 ? 0 : row]
                if work.timeIDs != nil { work.timeIDs = try run.input("time_ids", [sample.shape[0], nil]).slice(row) }
                try change(&work.switches)
                task.work = work
            }
            let output = try picture.outputs()[0]
            return GoldenTensor(output.values, shape: ["channels", "height", "width"].map { output.shape[$0] })
        }
        run.produce("sample", try GoldenTensor(stacking: rows))
    }

    private func latent(_ values: [Float]) -> Latent {
        Latent(channels: sample.shape[1], height: sample.shape[2], width: sample.shape[3], values: values)
    }
}

extension PictureRun {
    /// A row of a case's text vectors, in place of an encoded prompt.
    fileprivate func embeddings(_ run: CaseRun, _ row: Int, of rows: Int) throws -> TaskOutput {
        let shape = machine.expectedOutputs[0]
        let (tokens, width, pooledWidth) = (shape["tokens"], shape["width"], shape["pooled"])
        let text = try run.input("encoder_hidden_states", [rows, tokens, width]).slice(row)
        let pooled = pooledWidth > 0 ? try run.input("text_embeds", [rows, pooledWidth]).slice(row) : []
        return .embeddings(rows: 1, tokens: tokens, width: width, values: text, pooled: pooled)
    }
}
