import Acceleration
public import ContentHash
import DiffusionModels
import EmbeddedModel
public import PatchGeometry
import Samplers
import StrictJSON
import Tokenizing
public import Weights

/// Settings that suit a model better than the general defaults.
public struct RecommendedSettings: Sendable, Equatable {
    public var steps = 25
    public var guidanceScale: Float = 7.5
    public var structureFraction = StructureFraction.half

    /// What diffusion models in general are used with; the structure fraction is CutDiffusion's.
    public static let general = RecommendedSettings()
}

/// What the coordinator must know of a model: its configurations, its tokenizer and its identity. Weights stay closed.
public struct ModelDescription: Sendable {
    /// The folder's path or the embedded model's name, for messages and the picture's parameters.
    public let name: String
    /// SHA-256 over all files that decide results.
    public let identity: SHA256Digest
    public let recommended: RecommendedSettings
    /// Native side of a picture in pixels.
    public var nativeSize: Int { sampleSize * scaleFactor }

    /// Native latent side.
    let sampleSize: Int
    /// Pixels of one latent side.
    let scaleFactor: Int
    let latentChannels: Int
    /// Channels of the U-Net's input: those of the latent, for inpainting the mask's and the masked picture's as well.
    public let inputChannels: Int
    let vae: VAEConfiguration
    /// Tokens of an encoded prompt, start and end among them.
    let textTokens: Int
    /// Width of a token's vector.
    let textWidth: Int
    let scheduler: SchedulerConfiguration
    let tokenizer: CLIPTokenizer
    /// nil when HiDiffusion has no place in the U-Net.
    let windowBlockCount: Int?
    /// HiDiffusion's thresholds for this kind of model. SD 1.x and 2.x are all that is rendered so far.
    var hiDiffusionFamily: HiDiffusionFamily? { windowBlockCount == HiDiffusionFamily.sd15.windowBlockCount ? .sd15 : nil }

    /// Reads configurations, tokenizer and the heads of the weight files, and computes the identity.
    ///
    /// - Throws: `.notFound` for files that are not there, `.badModel` for files that are broken, do not fit each other or
    ///   describe a model that is not supported.
    public init(source: ModelSource) throws(RenderError) {
        let parts = try ModelParts(source)
        guard let side = parts.unet.sampleHeight, side == parts.unet.sampleWidth else {
            throw RenderError(
                .badModel, "\(source.name): unet/config.json must give one \"sample_size\", the native latent side.")
        }
        name = source.name
        sampleSize = side
        scaleFactor = parts.vae.scale
        latentChannels = parts.vae.latentChannels
        inputChannels = parts.unet.inChannels
        vae = parts.vae
        textWidth = parts.text.hiddenSize
        scheduler = try RenderError.model(source) {
            try SchedulerConfiguration(json: source.json("scheduler/scheduler_config.json"))
        }
        tokenizer = try RenderError.model(source) {
            try CLIPTokenizer(
                CLIPTokenizerFiles(folder: "tokenizer", exists: source.exists, json: source.json, text: source.text))
        }
        textTokens = min(tokenizer.maxLength, parts.text.maxPositions)
        windowBlockCount = parts.unet.windowBlockCount
        identity = try RenderError.model(source) { try source.identity() }
        recommended = identity == (try ModelSource.embeddedIdentity.get()) ? .embedded : .general
        guard scaleFactor == 8 else {
            throw RenderError(.badModel, "\(source.name): an autoencoder of scale \(scaleFactor) is not supported, only 8.")
        }
        guard (2...TaskLimits.tokens).contains(textTokens) else {
            throw RenderError(
                .badModel, "\(source.name): prompts of \(textTokens) tokens are not supported, only 2 to \(TaskLimits.tokens).")
        }
        guard tokenizer.vocabularySize <= parts.text.vocabularySize else {
            throw RenderError(
                .badModel,
                "\(source.name): the tokenizer knows \(tokenizer.vocabularySize) tokens, the text encoder \(parts.text.vocabularySize); "
                    + "they belong to different models.")
        }
    }
}

extension ModelDescription {
    /// Tokens of a text, without start and end.
    func tokenCount(_ text: String) throws(RenderError) -> Int {
        do { return try tokenizer.ids(text).count } catch { throw RenderError(.invalidRequest, error.message) }
    }
}

extension RecommendedSettings {
    /// Chosen by eye on pictures of 256 and 512 px of the embedded model: see its card.
    static let embedded: RecommendedSettings = {
        var settings = RecommendedSettings()
        settings.guidanceScale = 5
        settings.structureFraction = StructureFraction("0.4") ?? .half
        return settings
    }()
}

extension ModelSource {
    /// The model that the program carries.
    public static var embeddedModel: ModelSource { .embedded(name: EmbeddedModel.name, files: EmbeddedModel.files) }

    /// Its identity: the same files in a folder are the same model, whatever they are called.
    static let embeddedIdentity = Result { () throws(RenderError) in
        let source = ModelSource.embeddedModel
        return try RenderError.model(source) { try source.identity() }
    }
}

/// The configurations of a model's networks.
struct ModelParts {
    let unet: UNetConfiguration
    let vae: VAEConfiguration
    let text: CLIPTextConfiguration

    /// Reads and checks what a model says of itself. No weight is read.
    init(_ source: ModelSource) throws(RenderError) {
        try ModelParts.checkPipeline(source)
        unet = try RenderError.model(source) { try UNetConfiguration(json: source.json("unet/config.json")) }
        vae = try RenderError.model(source) { try VAEConfiguration(json: source.json("vae/config.json")) }
        text = try RenderError.model(source) { try CLIPTextConfiguration(json: source.json("text_encoder/config.json")) }
        try checkNetworks(source)
        // A file that is cut short is found here, from its head, and not after hours of work.
        for component in ["text_encoder", "unet", "vae"] {
            _ = try RenderError.model(source) { try source.weights(component: component) }
        }
    }

    /// Refuses pipelines that the text-to-image path cannot run, by name, before their other files are read.
    private static func checkPipeline(_ source: ModelSource) throws(RenderError) {
        if source.exists("model_index.json") {
            let index = try RenderError.model(source) { try source.json("model_index.json") }
            if let name = index["_class_name"]?.stringValue, !pipelines.contains(name) {
                throw RenderError(
                    .badModel,
                    "\(source.name) is a \(name.prefix(80)); Patchloom renders Stable Diffusion 1.x and 2.x models so far.")
            }
        }
    }

    /// Refuses networks that the text-to-image path cannot run or that do not fit each other.
    private func checkNetworks(_ source: ModelSource) throws(RenderError) {
        if unet.added != nil {
            throw RenderError(.badModel, "\(source.name) is an SDXL model; rendering with SDXL is not supported yet.")
        }
        guard [vae.latentChannels, 2 * vae.latentChannels + 1].contains(unet.inChannels),
            unet.outChannels == vae.latentChannels
        else {
            throw RenderError(
                .badModel,
                "\(source.name): the U-Net takes \(unet.inChannels) channels and gives \(unet.outChannels), and the autoencoder has "
                    + "\(vae.latentChannels); they belong to different models.")
        }
        guard unet.textWidth == text.hiddenSize else {
            throw RenderError(
                .badModel,
                "\(source.name): the U-Net takes text of width \(unet.textWidth), the text encoder gives \(text.hiddenSize); they "
                    + "belong to different models.")
        }
        guard TaskLimits.channels.contains(vae.latentChannels) else {
            throw RenderError(
                .badModel,
                "\(source.name): latents of \(vae.latentChannels) channels are not supported, only 1 to \(TaskLimits.channels.upperBound)."
            )
        }
        guard vae.outChannels == 3, vae.imageChannels == 3 else {
            throw RenderError(
                .badModel, "\(source.name): an autoencoder with \(vae.outChannels) colour channels is not supported.")
        }
    }

    private static let pipelines: Set<String> = [
        "StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline",
    ]
}

extension RenderError {
    /// Runs what reads a model's files and says of its errors which model they concern.
    static func model<T>(_ source: ModelSource, _ body: () throws -> T) throws(RenderError) -> T {
        do {
            return try body()
        } catch let error as RenderError {
            throw error
        } catch let error as WeightsError {
            throw RenderError(error.code == .notFound ? .notFound : .badModel, error.message)
        } catch {
            throw RenderError(.badModel, "\(source.name): \(error)")
        }
    }
}
