public import Acceleration
public import ContentHash
import DiffusionModels
import EmbeddedModel
import Prompting
package import Samplers
import StrictJSON
public import Weights

/// What the coordinator must know of a model: its configurations, its tokenizer and its identity. Weights stay closed.
public struct ModelDescription: Sendable {
    /// The folder's path or the embedded model's name, for messages and the picture's parameters.
    public let name: String
    /// SHA-256 over all files that decide results, without LoRA files.
    public let identity: SHA256Digest
    /// LoRA files that are merged into the weights, in order.
    public internal(set) var loras: [AppliedLoRA] = []
    /// What people should know of how the model was read: a sentence each, without a full stop.
    public internal(set) var notes: [String]
    public let recommended: RecommendedSettings
    /// Native side of a picture in pixels.
    public var nativeSize: Int { sampleSize * scaleFactor }

    let source: ModelSource
    /// Native latent side.
    package var sampleSize: Int
    /// Pixels of one latent side.
    package let scaleFactor: Int
    package let latentChannels: Int
    let vae: VAEConfiguration
    /// Tokens of one chunk of a prompt, start and end among them.
    let textTokens: Int
    /// Width of a token's vector, of all text encoders together.
    let textWidth: Int
    /// One, or SDXL's two.
    let encoders: [TextEncoderDescription]
    /// Width of SDXL's pooled vector; nil for the others, which have neither that nor size conditioning.
    let pooledWidth: Int?
    /// An empty negative prompt stands for zeros instead of being encoded.
    package var zeroesEmptyPrompt: Bool
    package var scheduler: SchedulerConfiguration
    /// nil when HiDiffusion has no place in the U-Net.
    let windowBlockCount: Int?
    /// The nominal level of those blocks; nil likewise.
    let windowLevel: Int?
    /// The U-Net's transformer blocks by nominal level.
    public let transformerBlocks: [Int: Int]
    /// How large feature maps are under HiDiffusion; nil where it has no place in the U-Net.
    let hiDiffusionMaps: HiDiffusionMaps?
    /// What kind of model it is, by its configurations.
    public let family: ModelFamily
    /// Channels of the U-Net's input: those of the latent, for inpainting the mask's and the masked picture's as well.
    public let inputChannels: Int
    /// Whether the autoencoder can turn pictures into latents. Some models were published with the decoder alone.
    let hasEncoder: Bool
    /// Whether the U-Net takes a mask and a masked picture beside the latent.
    public var isInpainting: Bool { inputChannels == 2 * latentChannels + 1 }
    /// Which layer of the text encoders is read unless a request says otherwise, counted from the end: 1 is the last.
    public var clipSkip: Int { family.isXL ? 2 : 1 }
    /// HiDiffusion's thresholds for this kind of model; nil when HiDiffusion has no place in it.
    public var hiDiffusionFamily: HiDiffusionFamily? {
        guard let own = family.hiDiffusionFamily(isInpainting: isInpainting), own.windowBlockCount == windowBlockCount else {
            return nil
        }
        return own
    }

    /// Reads configurations, tokenizer and the heads of the weight files, holds each network against its tensors, and computes
    /// the identity.
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
        self.source = source
        sampleSize = side
        scaleFactor = parts.vae.scale
        latentChannels = parts.vae.latentChannels
        inputChannels = parts.unet.inChannels
        vae = parts.vae
        textWidth = parts.unet.textWidth
        pooledWidth = parts.unet.added?.textWidth
        zeroesEmptyPrompt = parts.zeroesEmptyPrompt
        scheduler = try RenderError.model(source) {
            try SchedulerConfiguration(json: parts.configuration.scheduler)
        }
        encoders = try parts.texts.indices.map { index throws(RenderError) in
            try TextEncoderDescription(source, index: index, configuration: parts.texts[index])
        }
        textTokens = encoders[0].chunker.length
        windowBlockCount = parts.unet.windowBlockCount
        windowLevel = parts.unet.windowLevel
        transformerBlocks = parts.unet.transformerBlocks
        hiDiffusionMaps = parts.unet.hiDiffusionMaps
        family = ModelFamily(parts, scheduler)
        try Self.check(source, scaleFactor: parts.vae.scale, encoders)
        let check = try ModelCheck(source, parts)
        hasEncoder = check.hasEncoder
        notes = try RenderError.model(source) { try source.notes() } + parts.unknownKeyNotes(source) + check.notes
        identity = try RenderError.model(source) { try source.identity() }
        let isEmbedded = identity == (try ModelSource.embeddedIdentity.get())
        recommended = isEmbedded ? .embedded : RecommendedSettings(family)
    }

    private static func check(
        _ source: ModelSource, scaleFactor: Int, _ encoders: [TextEncoderDescription]
    ) throws(RenderError) {
        guard scaleFactor == 8 else {
            throw RenderError(.badModel, "\(source.name): an autoencoder of scale \(scaleFactor) is not supported, only 8.")
        }
        guard encoders.allSatisfy({ $0.chunker.length == encoders[0].chunker.length }) else {
            throw RenderError(
                .badModel,
                "\(source.name): its two text encoders take different numbers of tokens; they belong to different models.")
        }
    }
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

extension RenderError {
    /// Runs what reads a model's files and says of its errors which model they concern.
    static func model<T>(_ source: ModelSource, _ body: () throws -> T) throws(RenderError) -> T {
        do {
            return try body()
        } catch let error as RenderError {
            throw error
        } catch let error as WeightsError {
            throw RenderError(error.code == .notFound ? .notFound : .badModel, error.message)
        } catch let error as ModelError where error.code == .weights {
            // Names the file already.
            throw RenderError(.badModel, error.message)
        } catch {
            throw RenderError(.badModel, "\(source.name): \(error)")
        }
    }
}
