import ImageFiles
import PatchGeometry
import Rendering
import Samplers
import Weights

extension RequestOptions {
    /// The request in the words of `Rendering`, checked as far as it can be without a model.
    ///
    /// A negative seed becomes a random one here, once, so that every later part sees the number that is used.
    func request() throws(CommandFailure) -> RenderRequest {
        var request = RenderRequest()
        request.prompt = try promptText()
        request.negativePrompt = negativePrompt
        request.source = try SourceLoading(picture: initImg, mask: mask, width: width, height: height).load()
        request.width = request.source?.width ?? width ?? request.width
        request.height = request.source?.height ?? height ?? request.height
        request.strength = strength
        request.steps = steps
        request.guidanceScale = cfgScale
        // 32 bits are what other programs take, so that the number can be used there too.
        request.seed = seed < 0 ? UInt64(UInt32.random(in: 0...UInt32.max)) : UInt64(seed)
        request.method = try Self.choice(method, "method")
        request.hiDiffusion = try Self.choice(hidiffusion, "hidiffusion")
        request.patch = patch
        request.stride = stride
        if let structureFraction {
            guard let fraction = StructureFraction(structureFraction) else {
                throw CommandFailure(
                    .usage, "--structure-fraction must be a decimal between 0 and 1, such as 0.4, not '\(structureFraction)'.")
            }
            request.structureFraction = fraction
        }
        if let samplingMethod { request.samplingMethod = try Self.choice(samplingMethod, "sampling-method") }
        request.eta = eta
        request.loras = lora.map { LoRAArgument($0).selection }
        try conditioning.apply(to: &request)
        do { try request.validated() } catch { throw CommandFailure(error) }
        return request
    }

    private func promptText() throws(CommandFailure) -> String {
        switch (prompt, promptFile) {
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

extension OutputOptions {
    /// The place of the picture, found writable.
    func place() throws(CommandFailure) -> OutputFile {
        do { return try OutputFile(path: output, replacesExisting: !noClobber) } catch { throw CommandFailure(error) }
    }
}

extension ModelOptions {
    /// The checkpoint that was named, or the embedded one.
    func source() throws(CommandFailure) -> ModelSource {
        guard let model else { return .embeddedModel }
        do { return try .folder(model) } catch { throw CommandFailure(error) }
    }
}
