public import StrictJSON

/// The numbers of a denoising U-Net, from the `config.json` of diffusers' `UNet2DConditionModel`: Stable Diffusion 1.x, 2.x
/// and XL and their inpainting variants. Options that no such model uses are refused by name.
public struct UNetConfiguration: Sendable, Equatable {
    private enum DownBlockType: String, CaseIterable {
        case attention = "CrossAttnDownBlock2D"
        case plain = "DownBlock2D"
    }

    private enum UpBlockType: String, CaseIterable {
        case attention = "CrossAttnUpBlock2D"
        case plain = "UpBlock2D"
    }

    /// SDXL's second conditioning: a pooled text vector and six numbers about sizes and crops.
    public struct AddedConditioning: Sendable, Equatable {
        /// Width of the sinusoidal embedding of each of the six numbers.
        public let timeWidth: Int
        /// Width of the pooled text vector.
        public let textWidth: Int
        /// The count of numbers in a row of `timeIDs`.
        public static let timeIDCount = 6
        /// Width of the embeddings of all six numbers.
        var timeIDsWidth: Int { timeWidth * Self.timeIDCount }
    }

    public let inChannels: Int
    public let outChannels: Int
    /// Whether each block on the way down has attention to the text; the others have residual blocks only.
    public let downAttention: [Bool]
    /// The same on the way up.
    public let upAttention: [Bool]
    /// Channels of each level, top to bottom.
    public let channels: [Int]
    /// Residual blocks of each level on the way down; one more on the way up.
    public let layersPerBlock: [Int]
    /// Transformer blocks behind each residual block of a level.
    public let transformerLayers: [Int]
    /// The transformer blocks on the way up, by level from the top.
    public let upTransformerLayers: [Int]
    /// Attention heads of each level.
    public let heads: [Int]
    /// Width of the text's vectors.
    public let textWidth: Int
    public let normGroups: Int
    public let normEpsilon: Double
    /// Whether the transformers' projections are stored as matrices (Stable Diffusion 2 and XL) or as 1×1 convolutions.
    public let usesLinearProjection: Bool
    public let flipSinToCos: Bool
    public let frequencyShift: Double
    public let added: AddedConditioning?
    /// Keys of the file that have no effect here, sorted.
    public let unknownKeys: [String]

    /// - Parameters:
    ///   - json: the content of `config.json`.
    ///   - file: its path, for messages.
    /// - Throws: `.configuration` with the key, the value and the file.
    public init(json: JSONValue, file: String = "unet/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try UNetConfiguration.refuseUnsupported(reader)
        inChannels = try reader.integer("in_channels", default: 4)
        outChannels = try reader.integer("out_channels", default: 4)
        try UNetConfiguration.checkSampleSize(reader)
        channels = try reader.integers("block_out_channels", default: [320, 640, 1280, 1280])
        let levels = channels.count
        let down: [DownBlockType] = [.attention, .attention, .attention, .plain]
        downAttention = try reader.blockTypes("down_block_types", default: down, levels: levels).map { $0 == .attention }
        let up: [UpBlockType] = [.plain, .attention, .attention, .attention]
        upAttention = try reader.blockTypes("up_block_types", default: up, levels: levels).map { $0 == .attention }
        layersPerBlock = try reader.integerPerLevel("layers_per_block", default: 2, count: levels)
        transformerLayers = try reader.integerPerLevel("transformer_layers_per_block", default: 1, count: levels)
        upTransformerLayers = try UNetConfiguration.upTransformerLayers(reader, down: transformerLayers)
        heads = try reader.integerPerLevel("attention_head_dim", default: 8, count: levels)
        textWidth = try UNetConfiguration.textWidth(reader)
        normGroups = try reader.integer("norm_num_groups", default: 32)
        normEpsilon = try reader.positiveNumber("norm_eps", default: 1e-5)
        let isLinearNull = reader["use_linear_projection"]?.isNull ?? false
        usesLinearProjection = isLinearNull ? false : try reader.optional("use_linear_projection", .flag()) ?? false
        flipSinToCos = try reader.optional("flip_sin_to_cos", .flag()) ?? true
        frequencyShift = try reader.optional("freq_shift", .number(-.greatestFiniteMagnitude ... .greatestFiniteMagnitude)) ?? 0
        added = try UNetConfiguration.addedConditioning(reader)
        unknownKeys = reader.unknownKeys(otherThan: UNetConfiguration.knownKeys)
        try checkDivisions(reader)
    }

    /// The number of levels. Each level but the first has half the size of the one above.
    public var levels: Int { channels.count }

    /// Width of the time embedding.
    var timeWidth: Int { channels[0] * 4 }
}

extension UNetConfiguration {
    /// Refuses divisions with a remainder.
    private func checkDivisions(_ reader: ConfigurationReader) throws(ModelError) {
        for (level, width) in channels.enumerated() {
            guard width % normGroups == 0 else {
                throw reader.fault("norm_num_groups", "it must divide the \(width) channels of level \(level)")
            }
            guard width % heads[level] == 0 else {
                throw reader.fault(
                    "attention_head_dim", "this number of heads must divide the \(width) channels of level \(level)")
            }
        }
        guard channels[0] % 2 == 0 else { throw reader.fault("block_out_channels", "the first must be even") }
        guard Double(channels[0] / 2) > frequencyShift, Double((added?.timeWidth ?? .max) / 2) > frequencyShift else {
            throw reader.fault("freq_shift", "it must be below half the width of the time embedding")
        }
    }

    /// Checks the latent side that the model was trained at. `ModelArchitecture` reads it.
    private static func checkSampleSize(_ reader: ConfigurationReader) throws(ModelError) {
        guard reader["sample_size"]?.arrayValue != nil else {
            _ = try reader.optionalInteger("sample_size")
            return
        }
        let sides = try reader.integers("sample_size", default: [])
        guard sides.count == 2 else { throw reader.fault("sample_size", "it must be one number or height and width") }
    }

    private static func upTransformerLayers(
        _ reader: ConfigurationReader, down: [Int]
    ) throws(ModelError) -> [Int] {
        guard let value = reader["reverse_transformer_layers_per_block"], !value.isNull else { return down }
        // The file lists them in the order of the way up.
        return try reader.integerPerLevel("reverse_transformer_layers_per_block", default: 1, count: down.count).reversed()
    }

    private static func textWidth(_ reader: ConfigurationReader) throws(ModelError) -> Int {
        guard reader["cross_attention_dim"]?.arrayValue != nil else {
            return try reader.integer("cross_attention_dim", default: 1280)
        }
        let widths = try reader.integers("cross_attention_dim", default: [])
        guard widths.allSatisfy({ $0 == widths[0] }) else {
            throw reader.fault("cross_attention_dim", "all blocks read the same text, so all its numbers must be equal")
        }
        return widths[0]
    }

    private static func addedConditioning(_ reader: ConfigurationReader) throws(ModelError) -> AddedConditioning? {
        try reader.require("addition_embed_type", .null, "text_time")
        guard reader["addition_embed_type"]?.stringValue == "text_time" else { return nil }
        guard let timeWidth = try reader.optionalInteger("addition_time_embed_dim"), timeWidth % 2 == 0 else {
            throw reader.fault("addition_time_embed_dim", "text_time needs an even number here")
        }
        guard let total = try reader.optionalInteger("projection_class_embeddings_input_dim"),
            total > timeWidth * AddedConditioning.timeIDCount
        else {
            throw reader.fault(
                "projection_class_embeddings_input_dim",
                "text_time needs the pooled text's width and \(AddedConditioning.timeIDCount) times \(timeWidth) here")
        }
        return AddedConditioning(timeWidth: timeWidth, textWidth: total - timeWidth * AddedConditioning.timeIDCount)
    }

    /// Refuses options of diffusers that no Stable Diffusion model uses.
    private static func refuseUnsupported(_ reader: ConfigurationReader) throws(ModelError) {
        try reader.require("_class_name", "UNet2DConditionModel")
        for key in [
            "class_embed_type", "num_class_embeds", "encoder_hid_dim_type", "time_embedding_dim",
            "time_embedding_act_fn", "timestep_post_act", "time_cond_proj_dim", "num_attention_heads", "cross_attention_norm",
            "quantization_config",
        ] {
            try reader.require(key, .null)
        }
        // A projection from zero numbers is none.
        try reader.require("encoder_hid_dim", .null, 0)
        for key in ["center_input_sample", "class_embeddings_concat", "dual_cross_attention", "resnet_skip_time_act"] {
            try reader.require(key, false, .null)
        }
        try reader.require("only_cross_attention", false, .null, inLists: true)
        for key in ["mid_block_scale_factor", "resnet_out_scale_factor", "downsample_padding"] { try reader.require(key, 1) }
        for key in ["conv_in_kernel", "conv_out_kernel"] { try reader.require(key, 3, inLists: true) }
        try reader.require("mid_block_only_cross_attention", .null, false)
        try reader.require("mid_block_type", "UNetMidBlock2DCrossAttn")
        try reader.require("time_embedding_type", "positional")
        try reader.require("resnet_time_scale_shift", "default")
        try reader.require("attention_type", "default")
        try reader.require("act_fn", "silu", "swish")
    }

    /// The keys that are read or required above, and keys without effect here: dropout acts only in training,
    /// `upcast_attention` asks for f32, which everything has, and `addition_embed_type_num_heads` belongs to an embedding
    /// that is refused.
    private static let knownKeys: Set<String> = [
        "act_fn", "addition_embed_type", "addition_embed_type_num_heads", "addition_time_embed_dim", "attention_head_dim",
        "attention_type", "block_out_channels", "center_input_sample", "class_embed_type", "class_embeddings_concat",
        "conv_in_kernel", "conv_out_kernel", "cross_attention_dim", "cross_attention_norm", "down_block_types",
        "downsample_padding", "dropout", "dual_cross_attention", "encoder_hid_dim", "encoder_hid_dim_type", "flip_sin_to_cos",
        "freq_shift", "in_channels", "layers_per_block", "mid_block_only_cross_attention", "mid_block_scale_factor",
        "mid_block_type", "norm_eps", "norm_num_groups", "num_attention_heads", "num_class_embeds", "only_cross_attention",
        "out_channels", "projection_class_embeddings_input_dim", "quantization_config", "resnet_out_scale_factor",
        "resnet_skip_time_act",
        "resnet_time_scale_shift", "reverse_transformer_layers_per_block", "sample_size", "time_cond_proj_dim",
        "time_embedding_act_fn", "time_embedding_dim", "time_embedding_type", "timestep_post_act",
        "transformer_layers_per_block", "up_block_types", "upcast_attention", "use_linear_projection",
    ]
}
