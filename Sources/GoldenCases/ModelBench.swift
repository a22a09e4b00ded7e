import DiffusionModels
import EmbeddedModel
import StrictJSON
import TensorCore
import Tokenizing
import Weights

/// Keeps the compute context and the networks that cases share.
final class ModelBench {
    let context: ComputeContext
    /// By path; the empty path is the model inside the program.
    private var models: [String: LoadedModel] = [:]

    init(_ context: ComputeContext) { self.context = context }

    /// - Parameter configuration: the folder whose configuration a single file takes; nil for a folder.
    func model(at path: String, configuration: String? = nil) throws(GoldenError) -> LoadedModel {
        let key = configuration.map { "\(path)\0\($0)" } ?? path
        if let known = models[key] { return known }
        var recipe = ModelRecipe(path: path)
        recipe.configuration = configuration
        let source: ModelSource
        do { source = try ModelSource.open(recipe) } catch { throw .failed("\(error)") }
        let model = LoadedModel(source, context: context)
        models[key] = model
        return model
    }

    /// The model inside the program.
    func embeddedModel() -> LoadedModel {
        if let known = models[""] { return known }
        let source = ModelSource.embedded(name: EmbeddedModel.name, files: EmbeddedModel.files)
        let model = LoadedModel(source, context: context)
        models[""] = model
        return model
    }
}

/// A model folder whose parts are loaded when they are first asked for.
final class LoadedModel {
    let source: ModelSource
    private let context: ComputeContext
    private var loadedUNet: UNet?
    private var loadedDecoder: VAEDecoder?
    private var loadedEncoder: VAEEncoder?
    private var loadedText: [String: CLIPTextModel] = [:]
    private var loadedTokenizers: [String: CLIPTokenizer] = [:]

    init(_ source: ModelSource, context: ComputeContext) {
        self.source = source
        self.context = context
    }

    /// Whether the model has two text encoders.
    var isXL: Bool { source.exists("text_encoder_2/config.json") }

    func unet() throws -> UNet {
        if let loadedUNet { return loadedUNet }
        let configuration = try UNetConfiguration(json: source.json("unet/config.json"))
        let unet = try UNet(source.weights(component: "unet"), configuration: configuration, context: context)
        loadedUNet = unet
        return unet
    }

    func vaeConfiguration() throws -> VAEConfiguration { try VAEConfiguration(json: source.json("vae/config.json")) }

    func decoder() throws -> VAEDecoder {
        if let loadedDecoder { return loadedDecoder }
        let decoder = try VAEDecoder(source.weights(component: "vae"), configuration: vaeConfiguration(), context: context)
        loadedDecoder = decoder
        return decoder
    }

    func encoder() throws -> VAEEncoder {
        if let loadedEncoder { return loadedEncoder }
        let encoder = try VAEEncoder(source.weights(component: "vae"), configuration: vaeConfiguration(), context: context)
        loadedEncoder = encoder
        return encoder
    }

    /// - Parameter part: `text_encoder` or `text_encoder_2`.
    func textEncoder(_ part: String) throws -> CLIPTextModel {
        if let known = loadedText[part] { return known }
        let file = part + "/config.json"
        let configuration = try CLIPTextConfiguration(json: source.json(file), file: file)
        let model = try CLIPTextModel(source.weights(component: part), configuration: configuration, context: context)
        loadedText[part] = model
        return model
    }

    /// - Parameter part: `tokenizer` or `tokenizer_2`.
    func tokenizer(_ part: String) throws -> CLIPTokenizer {
        if let known = loadedTokenizers[part] { return known }
        let files = try CLIPTokenizerFiles(
            folder: part, names: source.tokenizerFiles(part), exists: source.exists, json: source.json, text: source.text)
        let tokenizer = try CLIPTokenizer(files)
        loadedTokenizers[part] = tokenizer
        return tokenizer
    }
}
