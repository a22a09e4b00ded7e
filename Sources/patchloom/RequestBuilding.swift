import Rendering
import Samplers

extension RequestOptions {
    /// The request in the words of `Rendering`, checked as far as it can be without a model.
    ///
    /// A random seed becomes a number here, once, so that every later part sees the number that is used.
    func request() throws(CommandFailure) -> RenderRequest { try request(prompt: promptText()) }

    /// The same with another prompt.
    func request(prompt: String) throws(CommandFailure) -> RenderRequest {
        var request = RenderRequest()
        request.prompt = prompt
        request.negativePrompt = negativePrompt
        request.source = try SourceLoading(picture: initImg, mask: mask, width: width, height: height).load()
        request.width = request.source?.width ?? width ?? request.width
        request.height = request.source?.height ?? height ?? request.height
        request.strength = strength
        request.steps = steps
        request.guidanceScale = cfgScale
        request.seed = seed.drawn()
        try method.apply(to: &request)
        try setSampler(of: &request)
        request.eta = eta
        request.loras = lora.map { LoRAArgument($0).selection }
        try conditioning.apply(to: &request)
        try tokens.apply(to: &request)
        do { try request.validated() } catch { throw CommandFailure(error) }
        return request
    }

    /// Sampler and schedule: one name may hold both, as in "DPM++ 2M Karras".
    private func setSampler(of request: inout RenderRequest) throws(CommandFailure) {
        do throws(SamplerError) {
            let name = try samplingMethod.map { text throws(SamplerError) in try SamplerName(text) }
            let kind = try scheduler.map { text throws(SamplerError) in try NoiseScheduleKind(name: text) }
            if let named = name?.schedule, let kind, named != kind {
                throw SamplerError(
                    .badRequest,
                    "The sampler's name asks for the schedule \(named.rawValue) and --scheduler for \(kind.rawValue): leave one out."
                )
            }
            request.samplingMethod = name?.method
            request.noiseSchedule = kind ?? name?.schedule ?? .automatic
        } catch {
            throw CommandFailure(.usage, error.message)
        }
    }

    private func promptText() throws(CommandFailure) -> String {
        guard prompt.count <= 1 else {
            throw CommandFailure(.usage, "There are \(prompt.count) prompts: give --prompt once.")
        }
        switch (prompt.first, promptFile) {
        case (let prompt?, nil): return prompt
        case (nil, let file?): return try PromptFile.read(file)
        case (nil, nil): throw CommandFailure(.usage, "No prompt: say what the picture shows with -p, or --prompt-file.")
        case (_?, _?): throw CommandFailure(.usage, "There are two prompts: give either --prompt or --prompt-file.")
        }
    }

    /// The case of a closed set of words, or a sentence that lists them.
    static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ word: String, _ option: String
    ) throws(CommandFailure) -> Choice {
        guard let choice = Choice(rawValue: word) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw CommandFailure(.usage, "--\(option) must be one of \(words), not '\(word)'.")
        }
        return choice
    }
}
