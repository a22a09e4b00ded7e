public import Acceleration
import StrictJSON

/// All facts about one family of models. `ModelFamily.all` is the table; a new family is a new value there. Code reads a
/// property and never asks for the family itself.
public struct ModelFamily: Sendable, Equatable, CustomStringConvertible {
    /// Its name for people.
    public let name: String
    /// The beginning of its pipelines' classes in diffusers.
    let pipeline: String
    /// Members of a U-Net's configuration that separate this family from later ones in the table.
    let unetMarks: [String: JSONValue]
    /// The kinds, told apart by their schedulers; the last is the default.
    let kinds: [ModelKind]

    // The inputs of the U-Net.

    /// Whether the U-Net also takes a pooled vector of the text, from the last encoder.
    public var hasPooledConditioning = false
    /// Whether the U-Net takes the picture's sizes and its crop.
    public var hasSizeConditioning = false
    /// Whether vectors of tokens pass the text encoder's last norm.
    public var normsText = true
    /// The default layer of the text encoders, counted from the end: 1 is the last.
    public var defaultClipSkip = 1
    /// Whether an empty negative prompt becomes zeros by default, instead of being encoded.
    public var zeroesEmptyPrompt = false
    /// Whether pictures smaller than the native size come out badly.
    public var failsBelowNativeSize = false
    /// The text encoders, one or two, in the order of their vectors.
    let texts: [TextEncoder]

    // The published models.

    /// The members of `unet/config.json` that differ from `PublishedConfiguration`'s common ones.
    let unet: JSONValue
    let latents: LatentScale
    /// The published models that predict noise, and the ones that predict velocity.
    let epsilon, velocity: Published
    /// The prefix of the text encoder in files of the distilled model, if the family has one.
    var distilledTextPrefix: String?

    // Facts that its files do not hold.

    /// The assumed prediction of a text-to-image checkpoint that does not tell it; nil if all published models predict noise.
    var guessedPrediction: UNetPrediction?
    /// The prediction by ModelSpec's name of the architecture.
    var architectures: [String: UNetPrediction] = [:]
    /// The scheduler for a model that begins with pure noise, if its own cannot do this.
    var zeroSNRScheduler = "DDIMScheduler"
    /// Whether diffusers repairs the configurations of old folders of this family.
    var isRepaired = true

    public static func == (a: ModelFamily, b: ModelFamily) -> Bool { a.name == b.name }
    public var description: String { name }
}

extension ModelFamily {
    /// A text encoder: the published configuration, and the names of its tensors in single files.
    struct TextEncoder: Sendable {
        /// The naming of its tensors in single files.
        enum Naming { case transformers, openCLIP }

        let naming: Naming
        /// Possible prefixes of these names.
        let prefixes: [String]
        /// `config.json`
        let configuration: JSONValue
        /// The token that fills short prompts.
        let padding: String
        /// Whether files hold a last layer that is not used and that the configuration leaves out.
        var leavesOutLastLayer = false

        /// The name of a tensor of a single file without the prefix; nil for other tensors.
        func name(of key: String) -> String? { prefixes.lazy.compactMap { key.dropping($0) }.first }

        /// Whether a name without the prefix lies inside it.
        func holds(_ name: String) -> Bool {
            naming == .openCLIP ? OpenCLIPNames.isText(name) : ComponentNames.isInside(name, "text_encoder")
        }

        /// Whether a single file holds it.
        func isIn(_ file: SafetensorsFile) -> Bool {
            file.tensors.keys.contains { key in prefixes.contains(where: key.hasPrefix) }
        }
    }

    /// The scale of latents. Autoencoders of the same scale can replace each other.
    struct LatentScale: Sendable, Equatable {
        /// The models that use it.
        let title: String
        let factor: Double
    }

    /// Facts about a published model beside its networks.
    struct Published: Sendable {
        /// Native side in points of the latent.
        let nativeSide: Int
        /// The members of `scheduler_config.json` that differ from the common ones.
        let scheduler: JSONValue
    }

    /// The components of text encoders, and of their tokenizers, in order.
    public static let textEncoders = ["text_encoder", "text_encoder_2"]
    public static let tokenizers = ["tokenizer", "tokenizer_2"]

    /// Recognises the family by a U-Net's configuration.
    init(unet: JSONValue) {
        self = ModelFamily.all.first { family in family.unetMarks.allSatisfy { unet[$0.key] == $0.value } } ?? .stableDiffusion1
    }

    /// The components of its text encoders, and of their tokenizers.
    public var textEncoders: ArraySlice<String> { ModelFamily.textEncoders.prefix(texts.count) }
    var tokenizers: ArraySlice<String> { ModelFamily.tokenizers.prefix(texts.count) }

    /// Width of the U-Net's text, and the channels of its levels.
    var textWidth: Int { unet["cross_attention_dim"]?.intValue ?? 0 }
    var channels: [Int] { unet["block_out_channels"]?.arrayValue?.compactMap(\.intValue) ?? [] }

    /// The name of most models of the family.
    var title: String { kinds[kinds.count - 1].title }

    func published(predicting prediction: UNetPrediction?) -> Published { prediction == .velocity ? velocity : epsilon }

    /// The kind by the scheduler's configuration. Distilled models predict noise on trailing timesteps.
    func kind(scheduler: JSONValue) -> ModelKind {
        let name = scheduler["_class_name"]?.stringValue ?? ""
        let isTrailing = scheduler["timestep_spacing"] == "trailing" && ModelMarks.prediction(scheduler) == .epsilon
        return kinds.first { kind in
            (isTrailing || !kind.isDistilled) && kind.schedulers.contains { name.hasPrefix($0) }
        } ?? kinds[kinds.count - 1]
    }
}

/// A kind of models within a family, with its own defaults.
public struct ModelKind: Sendable, Equatable, CustomStringConvertible {
    /// Its name for programs: `sdxl_turbo`.
    public let id: String
    /// Its name for people.
    public let title: String
    /// Beginnings of its schedulers' classes.
    var schedulers: [String] = []
    /// Whether it needs few steps and no guidance.
    var isDistilled = false
    public var steps: Int?
    public var guidanceScale: Float?
    let hiDiffusion: HiDiffusionProfile
    /// The profile of its models for inpainting, if different.
    var inpaintingHiDiffusion: HiDiffusionProfile?

    /// HiDiffusion's profile.
    public func hiDiffusion(isInpainting: Bool) -> HiDiffusionProfile {
        isInpainting ? inpaintingHiDiffusion ?? hiDiffusion : hiDiffusion
    }

    public static func == (a: ModelKind, b: ModelKind) -> Bool { a.id == b.id }
    public var description: String { id }
}
