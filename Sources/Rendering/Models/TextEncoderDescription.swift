import DiffusionModels
import Prompting
import Tokenizing
import Weights

/// What the coordinator must know of a text encoder: how prompts become its ids.
struct TextEncoderDescription: Sendable {
    let chunker: PromptChunker
    /// Width of its vectors.
    let width: Int
    let layers: Int

    /// Reads the tokenizer that belongs to the text encoder `index` of a model.
    ///
    /// - Throws: `.notFound` and `.badModel` for files that are not there, are broken or do not fit the encoder.
    init(_ source: ModelSource, index: Int, configuration: CLIPTextConfiguration) throws(RenderError) {
        let folder = ModelFamily.tokenizers[index]
        let tokenizer = try RenderError.model(source) {
            let files = try CLIPTokenizerFiles(
                folder: folder, names: source.tokenizerFiles(folder), exists: source.exists, json: source.json,
                text: source.text)
            do throws(TokenizingError) { return try CLIPTokenizer(files) } catch {
                throw RenderError(.badModel, "\(source.name), \(folder): \(error.message)")
            }
        }
        let length = min(tokenizer.maxLength, configuration.maxPositions)
        guard (3...TaskLimits.tokens).contains(length) else {
            throw RenderError(
                .badModel, "\(source.name): prompts of \(length) tokens are not supported, only 3 to \(TaskLimits.tokens).")
        }
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw RenderError(
                .badModel,
                "\(source.name): the \(folder) knows \(tokenizer.vocabularySize) tokens, the text encoder \(configuration.vocabularySize); "
                    + "they belong to different models.")
        }
        chunker = try RenderError.model(source) { try PromptChunker(tokenizer, length: length) }
        (width, layers) = (configuration.hiddenSize, configuration.layerCount)
    }
}
