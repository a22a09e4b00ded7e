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
    /// The largest number of tokens in a row; 77 in all published models.
    public let maxPositions: Int
    public let hiddenActivation: HiddenActivation
    public let normEpsilon: Double
    /// The id whose first place is pooled. 2 stands for an old convention, see `CLIPTextModel`.
    public let endTokenID: Int
    public let projectionSize: Int
    /// Whether the model ends in a projection; nil if the file does not say. Then the weights decide.
    public let hasProjection: Bool?
    /// Keys of the file that the network does not use, sorted.
    public let unknownKeys: [String]

    /// - Parameters:
    ///   - json: the content of `config.json`.
    ///   - file: its path, for messages.
    /// - Throws: `.configuration` with the key, the value and the file.
    public init(json: JSONValue, file: String = "text_encoder/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try reader.require("model_type", "clip_text_model", "clip")
        try reader.require("quantization_config", .null)
        hasProjection = try CLIPTextConfiguration.projection(reader)
        vocabularySize = try reader.integer("vocab_size", default: 49408)
        hiddenSize = try reader.integer("hidden_size", default: 512)
        intermediateSize = try reader.integer("intermediate_size", default: 2048)
        layerCount = try reader.integer("num_hidden_layers", default: 12, in: 1...256)
        headCount = try reader.integer("num_attention_heads", default: 8)
        maxPositions = try reader.integer("max_position_embeddings", default: 77)
        hiddenActivation = try reader.optional("hidden_act", .choice()) ?? .quickGELU
        normEpsilon = try reader.positiveNumber("layer_norm_eps", default: 1e-5)
        endTokenID = try reader.integer("eos_token_id", default: 49407, in: 0...ConfigurationReader.largestExtent)
        projectionSize = try reader.integer("projection_dim", default: 512)
        unknownKeys = reader.unknownKeys(otherThan: CLIPTextConfiguration.knownKeys)
        guard hiddenSize % headCount == 0 else {
            throw reader.fault("num_attention_heads", "it must divide the hidden size \(hiddenSize)")
        }
    }

    private static func projection(_ reader: ConfigurationReader) throws(ModelError) -> Bool? {
        guard let list = reader["architectures"], !list.isNull else { return nil }
        switch list.arrayValue?.first?.stringValue {
        case "CLIPTextModel": return false
        case "CLIPTextModelWithProjection": return true
        default: throw reader.fault("architectures", "supported are only CLIPTextModel and CLIPTextModelWithProjection")
        }
    }
}

extension CLIPTextConfiguration {
    /// The keys that are read here, keys for training, and keys that transformers writes for all of its models: settings of
    /// text generation, which a picture's text encoder does not do.
    private static let knownKeys: Set<String> = [
        "hidden_act", "hidden_size", "intermediate_size", "eos_token_id", "layer_norm_eps", "max_position_embeddings",
        "num_attention_heads", "num_hidden_layers", "projection_dim", "quantization_config", "vocab_size",
        "attention_dropout", "dropout", "gradient_checkpointing", "initializer_factor", "initializer_range", "use_bfloat16",
        "bos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "logit_scale_init_value",
        "add_cross_attention", "bad_words_ids", "begin_suppress_tokens", "chunk_size_feed_forward",
        "cross_attention_hidden_size", "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label",
        "is_decoder", "is_encoder_decoder", "label2id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size",
        "num_beam_groups", "num_beams", "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores",
        "prefix", "problem_type", "pruned_heads", "remove_invalid_values", "repetition_penalty", "return_dict",
        "return_dict_in_generate", "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss",
        "tie_encoder_decoder", "tie_word_embeddings", "tokenizer_class", "top_k", "top_p", "torchscript", "typical_p",
        "use_cache", "use_return_dict",
    ]
}
