public import StrictJSON

/// What `unet/config.json` says of a `UNet2DConditionModel`, as far as it changes the network.
public struct UNetConfiguration: Sendable, Equatable {
    /// Native latent side: what the model was trained on.
    public var sampleSize: Int
    public var inChannels: Int
    public var outChannels: Int
    /// Channels of each level, highest resolution first.
    public var blockOutChannels: [Int]
    /// Whether each down block has transformers.
    public var downBlocksAttend: [Bool]
    /// Whether each up block has transformers, lowest resolution first.
    public var upBlocksAttend: [Bool]
    public var layersPerBlock: [Int]
    /// Transformer layers of each level, highest resolution first.
    public var transformerLayers: [Int]
    /// The same for up blocks, lowest resolution first.
    public var upTransformerLayers: [Int]
    /// Attention heads of each level; the key is named `attention_head_dim` for historical reasons.
    public var attentionHeads: [Int]
    public var crossAttentionWidth: Int
    public var normGroups: Int
    public var normEpsilon: Float
    public var usesLinearProjection: Bool
    public var flipsSineToCosine: Bool
    public var frequencyShift: Float
    /// SDXL's additional embedding of pooled text and sizes; nil for SD 1.x and 2.x.
    public var textTime: TextTime?

    public struct TextTime: Sendable, Equatable {
        /// Width of the sinusoidal embedding of each of the numbers.
        public var timeEmbeddingWidth: Int
        /// Width of pooled text and embedded numbers together.
        public var inputWidth: Int
    }

    /// - Throws: `.badConfiguration` for a missing key or an impossible value, `.unsupported` for an option that is not implemented.
    public init(json: JSONValue, file: String = "unet/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try UNetConfiguration.refuseUnsupported(reader)
        sampleSize = try reader.integer("sample_size", in: 1...4096)
        inChannels = try reader.integer("in_channels", default: 4, in: 1...64)
        outChannels = try reader.integer("out_channels", default: 4, in: 1...64)
        blockOutChannels = try reader.integers("block_out_channels") ?? [320, 640, 1280, 1280]
        let levels = blockOutChannels.count
        downBlocksAttend = try UNetConfiguration.attention(
            of: reader, "down_block_types", levels, with: "CrossAttnDownBlock2D", without: "DownBlock2D",
            default: ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"])
        upBlocksAttend = try UNetConfiguration.attention(
            of: reader, "up_block_types", levels, with: "CrossAttnUpBlock2D", without: "UpBlock2D",
            default: ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"])
        layersPerBlock = try reader.perLevel("layers_per_block", count: levels, default: 2)
        transformerLayers = try reader.perLevel("transformer_layers_per_block", count: levels, default: 1)
        upTransformerLayers =
            try reader.integers("reverse_transformer_layers_per_block") ?? Array(transformerLayers.reversed())
        let headsKey = reader.isPresent("num_attention_heads") ? "num_attention_heads" : "attention_head_dim"
        attentionHeads = try reader.perLevel(headsKey, count: levels, default: 8)
        crossAttentionWidth = try reader.integer("cross_attention_dim", default: 1280)
        normGroups = try reader.integer("norm_num_groups", default: 32)
        normEpsilon = Float(try reader.number("norm_eps", default: 1e-5))
        usesLinearProjection = try reader.flag("use_linear_projection", default: false)
        flipsSineToCosine = try reader.flag("flip_sin_to_cos", default: true)
        frequencyShift = Float(try reader.number("freq_shift", default: 0))
        if reader.isPresent("addition_embed_type") {
            textTime = TextTime(
                timeEmbeddingWidth: try reader.integer("addition_time_embed_dim"),
                inputWidth: try reader.integer("projection_class_embeddings_input_dim"))
        }
        try checkDivisibility(file)
    }

    private func checkDivisibility(_ file: String) throws(ModelError) {
        guard upTransformerLayers.count == blockOutChannels.count else {
            throw ModelError(
                .badConfiguration,
                "\(file): \"reverse_transformer_layers_per_block\" must list \(blockOutChannels.count) numbers.")
        }
        guard normEpsilon > 0 else { throw ModelError(.badConfiguration, "\(file): \"norm_eps\" must be positive.") }
        for (level, channels) in blockOutChannels.enumerated() {
            guard channels % normGroups == 0 else {
                throw ModelError(
                    .badConfiguration,
                    "\(file): \(channels) channels of block \(level) do not divide into \(normGroups) norm groups.")
            }
            guard channels % attentionHeads[level] == 0 else {
                throw ModelError(
                    .badConfiguration,
                    "\(file): \(channels) channels of block \(level) do not divide into \(attentionHeads[level]) attention heads."
                )
            }
        }
        guard blockOutChannels[0] % 2 == 0 else {
            throw ModelError(.badConfiguration, "\(file): the first of \"block_out_channels\" must be even.")
        }
        if let textTime, textTime.timeEmbeddingWidth % 2 != 0 {
            throw ModelError(.badConfiguration, "\(file): \"addition_time_embed_dim\" must be even.")
        }
    }

    private static func attention(
        of reader: ConfigurationReader, _ key: String, _ levels: Int, with: String, without: String, default names: [String]
    ) throws(ModelError) -> [Bool] {
        let names = try reader.strings(key, default: names)
        guard names.count == levels else {
            throw ModelError(
                .badConfiguration, "\(reader.file): \"\(key)\" names \(names.count) blocks, \"block_out_channels\" \(levels).")
        }
        var attends: [Bool] = []
        for name in names {
            guard name == with || name == without else {
                throw ModelError(
                    .unsupported, "\(reader.file): \"\(key)\" names the block \"\(name)\", which Patchloom does not support.")
            }
            attends.append(name == with)
        }
        return attends
    }

    private static func refuseUnsupported(_ reader: ConfigurationReader) throws(ModelError) {
        try reader.require("_class_name", "UNet2DConditionModel")
        try reader.require("act_fn", "silu", "swish")
        try reader.require("addition_embed_type", "text_time")
        try reader.require("attention_type", "default")
        try reader.require("center_input_sample", false)
        try reader.require("class_embed_type")
        try reader.require("class_embeddings_concat", false)
        try reader.require("conv_in_kernel", 3)
        try reader.require("conv_out_kernel", 3)
        try reader.require("cross_attention_norm")
        try reader.require("downsample_padding", 1)
        try reader.require("dual_cross_attention", false)
        try reader.require("encoder_hid_dim")
        try reader.require("encoder_hid_dim_type")
        try reader.require("mid_block_only_cross_attention", false)
        try reader.require("mid_block_scale_factor", 1, 1.0)
        try reader.require("mid_block_type", "UNetMidBlock2DCrossAttn")
        try reader.require("num_class_embeds")
        try reader.require("only_cross_attention", false)
        try reader.require("resnet_out_scale_factor", 1, 1.0)
        try reader.require("resnet_skip_time_act", false)
        try reader.require("resnet_time_scale_shift", "default")
        try reader.require("time_cond_proj_dim")
        try reader.require("time_embedding_act_fn")
        try reader.require("time_embedding_dim")
        try reader.require("time_embedding_type", "positional")
        try reader.require("timestep_post_act")
    }
}
