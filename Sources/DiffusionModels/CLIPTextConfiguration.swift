public import StrictJSON

/// The numbers of a CLIP text encoder, from the `config.json` of transformers' `CLIPTextModel` or
/// `CLIPTextModelWithProjection`.
public struct CLIPTextConfiguration: Sendable, Equatable {
    /// The feed-forward activation.
    public enum HiddenActivation: String, Sendable, CaseIterable {
        case quickGELU = "quick_gelu"
        case gelu
    }

    public let vocabularySize: Int
    /// Width of a token's vector.
    public let hiddenSize: Int
    public let intermediateSize: Int
    public let layerCount: Int
    public let headCount: Int
    /// The most tokens of a row; 77 in all published models.
    public let maxPositions: Int
    public let hiddenActivation: HiddenActivation
    public let normEpsilon: Double
    /// The id whose first place is pooled; 2 stands for an old convention, see `CLIPTextModel`.
    public let endTokenID: Int
    public let projectionSize: Int
    /// Whether the model ends in a projection; nil when the file does not say, then the weights decide.
    public let hasProjection: Bool?

    /// - Parameters:
    ///   - json: the content of `config.json`.
    ///   - file: its path, for messages.
    /// - Throws: `.configuration` that names the key, the value and the file.
    public init(json: JSONValue, file: String = "text_encoder/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try reader.require("model_type", "clip_text_model", "clip")
        hasProjection = try CLIPTextConfiguration.projection(reader)
        vocabularySize = try reader.integer("vocab_size", default: 49408)
        hiddenSize = try reader.integer("hidden_size", default: 512)
        intermediateSize = try reader.integer("intermediate_size", default: 2048)
        layerCount = try reader.integer("num_hidden_layers", default: 12, in: 1...256)
        headCount = try reader.integer("num_attention_heads", default: 8)
        maxPositions = try reader.integer("max_position_embeddings", default: 77)
        hiddenActivation = try reader.choice("hidden_act", default: .quickGELU)
        normEpsilon = try reader.positiveNumber("layer_norm_eps", default: 1e-5)
        endTokenID = try reader.integer("eos_token_id", default: 49407, in: 0...ConfigurationReader.largestExtent)
        projectionSize = try reader.integer("projection_dim", default: 512)
        guard hiddenSize % headCount == 0 else {
            throw reader.fault("num_attention_heads", "it must divide the hidden size \(hiddenSize)")
        }
    }

    private static func projection(_ reader: ConfigurationReader) throws(ModelError) -> Bool? {
        guard let list = reader.value("architectures"), !list.isNull else { return nil }
        switch list.arrayValue?.first?.stringValue {
        case "CLIPTextModel": return false
        case "CLIPTextModelWithProjection": return true
        default: throw reader.fault("architectures", "supported are only CLIPTextModel and CLIPTextModelWithProjection")
        }
    }
}
