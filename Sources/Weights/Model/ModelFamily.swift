public import Acceleration
import StrictJSON

/// A family of models: all that is known of it, in one value. `ModelFamily.all` is the table, and a new family is a new value
/// there. Code asks a property for its meaning and never which family a model is of.
public struct ModelFamily: Sendable, Equatable, CustomStringConvertible {
    /// How people call it.
    public let name: String
    /// How its pipelines' classes begin in diffusers.
    let pipeline: String
    /// What a U-Net's configuration says in this family and in none that comes later in the table. Sizes are free.
    let unetMarks: [String: JSONValue]
    /// The kinds that are told apart by their schedulers; the last is whatever is of no other.
    let kinds: [ModelKind]

    // What the U-Net takes.

    /// Whether the U-Net takes a pooled vector of the text, the last encoder's, beside the vectors of its tokens.
    public var hasPooledConditioning = false
    /// Whether the U-Net is told of the picture's sizes and where it was cropped.
    public var hasSizeConditioning = false
    /// Whether vectors of tokens went through the text encoder's last norm.
    public var normsText = true
    /// Which layer of the text encoders is read unless a request says otherwise, counted from the end: 1 is the last.
    public var defaultClipSkip = 1
    /// Whether an empty negative prompt stands for zeros instead of being encoded, unless the model says otherwise.
    public var zeroesEmptyPrompt = false
    /// Whether pictures smaller than the native size come out badly.
    public var failsBelowNativeSize = false
    /// One or two, in the order in which their vectors are put side by side.
    let texts: [TextEncoder]

    // The published models.

    /// The members of `unet/config.json` in which the family differs from `PublishedConfiguration`'s common ones.
    let unet: JSONValue
    let latents: LatentScale
    /// The published models that predict noise, and those that predict velocity.
    let epsilon, velocity: Published
    /// Where files of a distilled model have their text encoder; nil where there is no such model.
    var distilledTextPrefix: String?

    // What its files do not say.

    /// What the U-Net of a text-to-image checkpoint is taken to predict where nothing tells; nil for families in which all
    /// published models predict noise, where it is no guess.
    var guessedPrediction: UNetPrediction?
    /// What ModelSpec's names of architectures tell of the prediction.
    var architectures: [String: UNetPrediction] = [:]
    /// The scheduler of a model that begins with pure noise, where its own cannot.
    var zeroSNRScheduler = "DDIMScheduler"
    /// Whether diffusers repairs the configurations of old folders of this family.
    var isRepaired = true

    public static func == (a: ModelFamily, b: ModelFamily) -> Bool { a.name == b.name }
    public var description: String { name }
}

extension ModelFamily {
    /// A text encoder: the published configuration, and where single files have its tensors.
    struct TextEncoder: Sendable {
        /// Whose names its tensors have in single files.
        enum Naming { case transformers, openCLIP }

        let naming: Naming
        /// What comes before these names: any of them.
        let prefixes: [String]
        /// `config.json`
        let configuration: JSONValue
        /// What fills short prompts.
        let padding: String
        /// Whether its last layer is not used: the configuration leaves it out, files hold it all the same.
        var leavesOutLastLayer = false

        /// The name of a tensor of a single file; nil for one that lies elsewhere.
        func name(of key: String) -> String? { prefixes.lazy.compactMap { key.dropping($0) }.first }

        /// Whether a single file holds it.
        func isIn(_ file: SafetensorsFile) -> Bool {
            file.tensors.keys.contains { key in prefixes.contains { key.hasPrefix($0) } }
        }
    }

    /// How latents are scaled: autoencoders of the same scale may stand for each other.
    struct LatentScale: Sendable, Equatable {
        /// Whose it is.
        let title: String
        let factor: Double
    }

    /// What a published model is beside its networks.
    struct Published: Sendable {
        /// Native side in points of the latent.
        let nativeSide: Int
        /// The members of `scheduler_config.json` in which it differs from the common ones.
        let scheduler: JSONValue
    }

    /// The components of text encoders, and of their tokenizers, in order.
    public static let textEncoders = ["text_encoder", "text_encoder_2"]
    public static let tokenizers = ["tokenizer", "tokenizer_2"]

    /// By a U-Net's configuration: how it takes the text is what separates the families.
    init(unet: JSONValue) {
        self = ModelFamily.all.first { family in family.unetMarks.allSatisfy { unet[$0.key] == $0.value } } ?? .stableDiffusion1
    }

    /// The components of its text encoders, and of their tokenizers.
    public var textEncoders: ArraySlice<String> { ModelFamily.textEncoders.prefix(texts.count) }
    var tokenizers: ArraySlice<String> { ModelFamily.tokenizers.prefix(texts.count) }

    /// Width of the text that the U-Net takes, and of the channels of its levels.
    var textWidth: Int { unet["cross_attention_dim"]?.intValue ?? 0 }
    var channels: [Int] { unet["block_out_channels"]?.arrayValue?.compactMap(\.intValue) ?? [] }

    /// What most models of the family are called.
    var title: String { kinds[kinds.count - 1].title }

    func published(predicting prediction: UNetPrediction?) -> Published { prediction == .velocity ? velocity : epsilon }

    /// By the scheduler's configuration. Distilled models are known by it: they predict noise on trailing timesteps.
    func kind(scheduler: JSONValue) -> ModelKind {
        let name = scheduler["_class_name"]?.stringValue ?? ""
        let isTrailing = scheduler["timestep_spacing"] == "trailing" && ModelMarks.prediction(scheduler) == .epsilon
        return kinds.first { kind in
            (isTrailing || !kind.isDistilled) && kind.schedulers.contains { name.hasPrefix($0) }
        } ?? kinds[kinds.count - 1]
    }
}

/// A kind of models within a family, with the settings that suit it where those are not the general ones.
public struct ModelKind: Sendable, Equatable, CustomStringConvertible {
    /// What programs call it: `sdxl_turbo`.
    public let id: String
    /// How people call it.
    public let title: String
    /// How the classes of its schedulers begin.
    var schedulers: [String] = []
    /// Whether it takes few steps and no guidance.
    var isDistilled = false
    public var steps: Int?
    public var guidanceScale: Float?
    let hiDiffusion: HiDiffusionProfile
    /// The recipe of its models for inpainting, where it is another one.
    var inpaintingHiDiffusion: HiDiffusionProfile?

    /// HiDiffusion's recipe.
    public func hiDiffusion(isInpainting: Bool) -> HiDiffusionProfile {
        isInpainting ? inpaintingHiDiffusion ?? hiDiffusion : hiDiffusion
    }

    public static func == (a: ModelKind, b: ModelKind) -> Bool { a.id == b.id }
    public var description: String { id }
}
