import Prompting
import Sentences
import Tokenizing

/// The prompts of a picture as rows for the text encoders, and the merge of the encoded rows.
///
/// A task encodes one chunk of both prompts. The coordinator weighs each chunk, whose mean includes the padding, and joins the
/// chunks along the tokens. The pooled vector is the first chunk's.
struct PromptConditioning: Sendable {
    /// Notes on parts of the prompts that have no effect, or another meaning than the user may think.
    private(set) var notes: [String] = []

    /// The rows by chunk, by text encoder, by prompt: the negative prompt's and the prompt's, or the prompt's alone.
    private let chunks: [[[PromptChunk]]]
    /// Whether a row of zeros stands for the negative prompt.
    private let hasZeroNegative: Bool
    private let skippedLayers: Int
    private let model: ModelDescription

    /// Reads the prompts of a request.
    ///
    /// - Parameters:
    ///   - guided: whether the negative prompt is needed.
    ///   - clipSkip: 1 for the last layer.
    /// - Throws: `.invalidRequest` for prompts with wrong syntax and for prompts that are too long.
    init(_ request: RenderRequest, _ model: ModelDescription, guided: Bool, clipSkip: Int) throws(RenderError) {
        self.model = model
        skippedLayers = clipSkip - 1
        hasZeroNegative = guided && model.zeroesEmptyPrompt && request.negativePrompt.isEmpty
        let prompt = try request.encodedPrompt()
        var texts = [("prompt", [prompt, request.secondPrompt ?? prompt])]
        if guided, !hasZeroNegative {
            texts.insert(("negative prompt", [request.negativePrompt, request.negativePrompt]), at: 0)
        }
        var rows: [[[PromptChunk]]] = []
        for (name, texts) in texts {
            let parsed = try texts.map { text throws(RenderError) in try RenderRequest.parsed(text, name) }
            notes += parsed[0].notes.map { "the \(name) \($0)" }
            rows.append(
                try zip(model.encoders, parsed).map { encoder, prompt throws(RenderError) in try encoder.chunks(prompt, name) })
        }
        let count = rows.flatMap { $0.map(\.count) }.max() ?? 1
        let encoders = model.encoders
        chunks = (0..<count).map { chunk in
            encoders.indices.map { encoder in
                rows.map { row in
                    row[encoder].indices.contains(chunk) ? row[encoder][chunk] : encoders[encoder].chunker.emptyChunk
                }
            }
        }
        if !guided, !request.negativePrompt.isEmpty {
            notes.append("the negative prompt has no effect without guidance above 1")
        }
    }

    var chunkCount: Int { chunks.count }

    /// Tokens of a whole row, of all chunks.
    var tokens: Int { model.textTokens * chunks.count }

    /// The shape of `conditioning`, without numbers.
    var emptyConditioning: JobContext.Conditioning {
        let rows = chunks[0][0].count + (hasZeroNegative ? 1 : 0)
        return JobContext.Conditioning(
            rows: rows, tokens: tokens, width: model.textWidth,
            values: [Float](repeating: 0, count: rows * tokens * model.textWidth),
            pooled: [Float](repeating: 0, count: rows * (model.pooledWidth ?? 0)))
    }

    /// One task for each chunk.
    var works: [EncodeWork] {
        chunks.map { encoders in
            EncodeWork(ids: encoders.map { $0.map(\.ids) }, skippedLayers: skippedLayers)
        }
    }

    /// Weighs and joins the outputs of `works`.
    ///
    /// - Parameter outputs: of the tasks' shapes, and finite.
    /// - Throws: `.invalidRequest` if weighing makes NaN or infinity.
    func conditioning(_ outputs: [TaskOutput]) throws(RenderError) -> JobContext.Conditioning {
        let (tokens, width, rows) = (model.textTokens, model.textWidth, chunks[0][0].count)
        var joined = [[Float]](repeating: [], count: rows)
        var pooled: [Float] = []
        for (index, output) in outputs.enumerated() {
            var values = Array(output.values[..<(rows * tokens * width)])
            weigh(&values, chunk: index)
            if let wrong = values.firstIndex(where: { !$0.isFinite }) {
                let isNegative = rows == 2 && wrong < tokens * width
                throw .invalidRequest(
                    "The weights in the prompt cancel each other, so its mean cannot be restored: change the weights.",
                    about: isNegative ? .negativePrompt : .prompt)
            }
            if index == 0 { pooled = Array(output.values[values.count...]) }
            for row in 0..<rows { joined[row] += values[(row * tokens * width)..<((row + 1) * tokens * width)] }
        }
        if hasZeroNegative {
            joined.insert([Float](repeating: 0, count: joined[0].count), at: 0)
            pooled = [Float](repeating: 0, count: pooled.count) + pooled
        }
        return JobContext.Conditioning(
            rows: joined.count, tokens: tokens * outputs.count, width: width, values: joined.flatMap(\.self), pooled: pooled)
    }

    /// Each encoder's part of each row has a mean of its own.
    private func weigh(_ values: inout [Float], chunk: Int) {
        var column = 0
        for (encoder, rows) in zip(model.encoders, chunks[chunk]) {
            for (row, prompt) in rows.enumerated() {
                Emphasis.apply(
                    prompt.weights, to: &values, start: row * model.textTokens * model.textWidth + column, width: encoder.width,
                    stride: model.textWidth)
            }
            column += encoder.width
        }
    }
}

extension RenderRequest {
    /// Parses a prompt without tags. Throws `.invalidRequest`.
    static func parsed(_ text: String, _ name: String) throws(RenderError) -> ParsedPrompt {
        do { return try ParsedPrompt(text) } catch {
            throw .invalidRequest("In the \(name): \(error.message)", about: setting(name))
        }
    }

    /// The setting of a prompt that messages call `prompt` or `negative prompt`.
    static func setting(_ name: String) -> Setting { name == "prompt" ? .prompt : .negativePrompt }

    func checkSyntax() throws(RenderError) {
        _ = try RenderRequest.parsed(try encodedPrompt(), "prompt")
        _ = try RenderRequest.parsed(negativePrompt, "negative prompt")
    }
}

extension TextEncoderDescription {
    /// Throws `.invalidRequest` for more chunks than a picture may have.
    fileprivate func chunks(_ prompt: ParsedPrompt, _ name: String) throws(RenderError) -> [PromptChunk] {
        let chunks: [PromptChunk]
        do { chunks = try chunker.chunks(prompt) } catch {
            throw .invalidRequest(Sentence(error.message), about: RenderRequest.setting(name))
        }
        guard chunks.count <= TaskLimits.chunks else {
            throw .invalidRequest(
                "The \(name) has \(chunks.count) chunks of \(chunker.length - 2) tokens: shorten it to at most "
                    + "\(TaskLimits.chunks).", about: RenderRequest.setting(name))
        }
        return chunks
    }
}
