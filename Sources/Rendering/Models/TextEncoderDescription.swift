import DiffusionModels
import Prompting
import Sentences
import Tokenizing
import Weights

/// The coordinator's knowledge of a text encoder: how prompts become its ids.
struct TextEncoderDescription: Sendable {
    let chunker: PromptChunker
    /// Width of its vectors.
    let width: Int
    let layers: Int

    /// Reads the tokenizer of the text encoder `index` of a model.
    ///
    /// - Throws: `.notFound` for missing files, `.badModel` for files that are damaged or do not fit the encoder.
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
            throw .badModel("\(source.name): prompts of \(length) tokens are not supported, only 3 to \(TaskLimits.tokens).")
        }
        guard tokenizer.vocabularySize <= configuration.vocabularySize else {
            throw .badModel(
                "\(source.name): the \(folder) knows \(tokenizer.vocabularySize) tokens, the text encoder "
                    + "\(configuration.vocabularySize); they belong to different models.")
        }
        chunker = try RenderError.model(source) { try PromptChunker(tokenizer, length: length) }
        (width, layers) = (configuration.hiddenSize, configuration.layerCount)
    }
}
