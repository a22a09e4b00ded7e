public import Acceleration
public import ContentHash
import DiffusionModels
import EmbeddedModel
import Prompting
package import Samplers
import Sentences
import StrictJSON
public import Weights

/// The coordinator's knowledge of a model: configurations, tokenizers and identity. Weights stay closed.
public struct ModelDescription: Sendable {
    /// The folder's path or the embedded model's name, for messages and the picture's parameters.
    public let name: String
    /// SHA-256 over all files that decide a picture, without LoRA files.
    public let identity: SHA256Digest
    /// LoRA files that are merged into the weights, in order.
    public internal(set) var loras: [AppliedLoRA] = []
    /// Remarks for the user on reading the model: sentences without a full stop.
    public internal(set) var notes: [String]
    public let recommended: RecommendedSettings
    /// Native side of a picture in pixels.
    public var nativeSize: Int { sampleSize * scaleFactor }
    public var architecture: ModelArchitecture { parts.architecture }
    public var kind: ModelKind { architecture.kind }

    package let source: ModelSource
    /// Native latent side.
    package var sampleSize: Int
    /// Pixels along the side of a latent point. Sides of pictures are multiples of it.
    public var scaleFactor: Int { architecture.scaleFactor }
    package var latentChannels: Int { architecture.latentChannels }
    let parts: ModelParts
    var vae: VAEConfiguration { parts.vae }
    /// Tokens of one chunk of a prompt, with start and end.
    let textTokens: Int
    /// Width of a token's vector, of all text encoders together.
    var textWidth: Int { parts.unet.textWidth }
    /// The family's text encoders, in order.
    let encoders: [TextEncoderDescription]
    /// Width of the pooled vector; nil for families that take none.
    var pooledWidth: Int? { parts.unet.added?.textWidth }
    /// Whether zeros take the place of an empty negative prompt's embeddings.
    package var zeroesEmptyPrompt: Bool
    package var scheduler: SchedulerConfiguration
    /// The places where HiDiffusion acts in the U-Net; nil if there are none.
    var hiDiffusionLayout: HiDiffusionLayout? { parts.unet.hiDiffusionLayout }
    /// The U-Net's transformer blocks by nominal level.
    public var transformerBlocks: [Int: Int] { parts.unet.transformerBlocks }
    /// Whether the autoencoder has an encoder. Some models were published with the decoder alone.
    let hasEncoder: Bool
    /// Whether the U-Net takes a mask and a masked picture beside the latent.
    public var isInpainting: Bool { architecture.isInpainting }
    /// Channels of the U-Net's input.
    public var inputChannels: Int { architecture.inputChannels }
    /// The default layer of the text encoders, counted from the last, which is 1.
    public var clipSkip: Int { architecture.family.defaultClipSkip }
    /// HiDiffusion's profile for this kind of model; nil if HiDiffusion does not know its U-Net.
    public var hiDiffusionProfile: HiDiffusionProfile? {
        let own = kind.hiDiffusion(isInpainting: isInpainting)
        return own.layout == hiDiffusionLayout ? own : nil
    }

    /// Reads configurations, tokenizers and the heads of the weight files, compares each network with its tensors, and computes
    /// the identity.
    ///
    /// - Throws: `.notFound` for missing files, `.badModel` for files that are damaged, do not fit each other or describe an
    ///   unsupported model.
    public init(source: ModelSource) throws(RenderError) {
        let parts = try ModelParts(source)
        guard let side = parts.architecture.nativeSide else {
            throw .badModel("\(source.name): unet/config.json must give one \"sample_size\", the native latent side.")
        }
        name = source.name
        self.source = source
        sampleSize = side
        self.parts = parts
        zeroesEmptyPrompt = parts.zeroesEmptyPrompt
        scheduler = try RenderError.model(source) {
            try SchedulerConfiguration(json: parts.configuration.scheduler)
        }
        encoders = try parts.texts.indices.map { index throws(RenderError) in
            try TextEncoderDescription(source, index: index, configuration: parts.texts[index])
        }
        textTokens = encoders[0].chunker.length
        try Self.check(source, scaleFactor: parts.architecture.scaleFactor, encoders)
        let check = try ModelCheck(source, parts)
        hasEncoder = check.hasEncoder
        notes = try RenderError.model(source) { try source.notes() } + parts.unknownKeyNotes(source) + check.notes
        identity = try RenderError.model(source) { try source.identity() }
        let isEmbedded = identity == (try ModelSource.embeddedIdentity.get())
        recommended = isEmbedded ? .embedded : RecommendedSettings(parts.architecture.kind)
    }

    private static func check(
        _ source: ModelSource, scaleFactor: Int, _ encoders: [TextEncoderDescription]
    ) throws(RenderError) {
        guard scaleFactor == RenderRequest.sideMultiple else {
            throw .badModel(
                "\(source.name): an autoencoder of scale \(scaleFactor) is not supported, only \(RenderRequest.sideMultiple).")
        }
        guard encoders.allSatisfy({ $0.chunker.length == encoders[0].chunker.length }) else {
            throw .badModel(
                "\(source.name): its two text encoders take different numbers of tokens; they belong to different models.")
        }
    }
}

extension ModelSource {
    /// The model that the program carries.
    public static var embeddedModel: ModelSource { .embedded(name: EmbeddedModel.name, files: EmbeddedModel.files) }

    /// Its identity. The same files in a folder are the same model under any name.
    static let embeddedIdentity = Result { () throws(RenderError) in
        let source = ModelSource.embeddedModel
        return try RenderError.model(source) { try source.identity() }
    }
}

extension RenderError {
    /// Runs `body`, which reads a model's files, and adds the model's name to its errors.
    static func model<T>(_ source: ModelSource, _ body: () throws -> T) throws(RenderError) -> T {
        do {
            return try body()
        } catch let error as RenderError {
            throw error
        } catch let error as WeightsError {
            throw RenderError(error.code == .notFound ? .notFound : .badModel, naming: error.sentence)
        } catch let error as ModelError where error.code == .weights {
            // This error names the file.
            throw .badModel(error.sentence)
        } catch let error as any SentenceError {
            throw .badModel("\(source.name): \(error.sentence)")
        } catch {
            throw .badModel("\(source.name): \(String(describing: error))")
        }
    }
}
