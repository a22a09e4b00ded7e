public import StrictJSON
public import TensorCore

/// What `text_encoder/config.json` says of a `CLIPTextModel` or `CLIPTextModelWithProjection`.
public struct CLIPTextConfiguration: Sendable, Equatable {
    public var vocabularySize: Int
    public var width: Int
    public var intermediateWidth: Int
    public var layers: Int
    public var heads: Int
    /// The most tokens of one prompt.
    public var positions: Int
    public var normEpsilon: Float
    public var activation: Activation
    /// The token that ends a prompt. 2 stands for "the largest id", as in configurations older than the field's meaning.
    public var endToken: Int
    /// Width of the projected pooled vector; nil for models without a projection.
    public var projectionWidth: Int?

    /// - Throws: `.badConfiguration` for an impossible value, `.unsupported` for an unknown activation or architecture.
    public init(json: JSONValue, file: String = "text_encoder/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        let architecture = try reader.strings("architectures", default: ["CLIPTextModel"])[0]
        guard architecture == "CLIPTextModel" || architecture == "CLIPTextModelWithProjection" else {
            throw ModelError(
                .unsupported,
                "\(file): \"architectures\" names \"\(architecture)\"; Patchloom supports CLIP text encoders only.")
        }
        vocabularySize = try reader.integer("vocab_size", default: 49408, in: 1...10_000_000)
        width = try reader.integer("hidden_size", default: 512)
        intermediateWidth = try reader.integer("intermediate_size", default: 2048, in: 1...262_144)
        layers = try reader.integer("num_hidden_layers", default: 12, in: 1...256)
        heads = try reader.integer("num_attention_heads", default: 8)
        positions = try reader.integer("max_position_embeddings", default: 77, in: 1...8192)
        normEpsilon = Float(try reader.number("layer_norm_eps", default: 1e-5))
        endToken = try reader.integer("eos_token_id", default: 49407, in: 0...10_000_000)
        projectionWidth =
            architecture == "CLIPTextModelWithProjection" ? try reader.integer("projection_dim", default: 512) : nil
        let name = try reader.string("hidden_act", default: "quick_gelu")
        switch name {
        case "quick_gelu": activation = .quickGELU
        case "gelu": activation = .gelu
        default:
            throw ModelError(.unsupported, "\(file): \"hidden_act\" is \"\(name)\"; Patchloom supports quick_gelu and gelu.")
        }
        guard width % heads == 0 else {
            throw ModelError(.badConfiguration, "\(file): a width of \(width) does not divide into \(heads) attention heads.")
        }
    }
}
