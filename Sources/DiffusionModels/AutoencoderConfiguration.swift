public import StrictJSON

/// What `vae/config.json` says of an `AutoencoderKL`, as far as it changes results.
public struct AutoencoderConfiguration: Sendable, Equatable {
    public var imageChannels: Int
    public var outChannels: Int
    public var latentChannels: Int
    /// Channels of each level, highest resolution first. The latent is smaller by 2^(levels − 1).
    public var blockOutChannels: [Int]
    public var layersPerBlock: Int
    public var normGroups: Int
    /// Latents of the U-Net are this many times the autoencoder's own.
    public var scalingFactor: Float
    /// Playground v2.5: mean and standard deviation of the autoencoder's latents by channel.
    public var latentsMean: [Float]?
    public var latentsStandardDeviation: [Float]?
    public var usesQuantConvolution: Bool
    public var usesPostQuantConvolution: Bool
    public var middleAttends: Bool

    /// Pixels of one latent side.
    public var scaleFactor: Int { 1 << (blockOutChannels.count - 1) }

    /// - Throws: `.badConfiguration` for an impossible value, `.unsupported` for an option that is not implemented.
    public init(json: JSONValue, file: String = "vae/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try reader.require("_class_name", "AutoencoderKL")
        try reader.require("act_fn", "silu", "swish")
        imageChannels = try reader.integer("in_channels", default: 3, in: 1...16)
        outChannels = try reader.integer("out_channels", default: 3, in: 1...16)
        latentChannels = try reader.integer("latent_channels", default: 4, in: 1...64)
        blockOutChannels = try reader.integers("block_out_channels") ?? [64]
        layersPerBlock = try reader.integer("layers_per_block", default: 1, in: 1...16)
        normGroups = try reader.integer("norm_num_groups", default: 32)
        scalingFactor = Float(try reader.number("scaling_factor", default: 0.18215))
        latentsMean = try reader.numbers("latents_mean", count: latentChannels)
        latentsStandardDeviation = try reader.numbers("latents_std", count: latentChannels)
        usesQuantConvolution = try reader.flag("use_quant_conv", default: true)
        usesPostQuantConvolution = try reader.flag("use_post_quant_conv", default: true)
        middleAttends = try reader.flag("mid_block_add_attention", default: true)
        let shift = try reader.number("shift_factor", default: 0)
        try AutoencoderConfiguration.checkBlocks(reader, "down_block_types", "DownEncoderBlock2D", blockOutChannels.count)
        try AutoencoderConfiguration.checkBlocks(reader, "up_block_types", "UpDecoderBlock2D", blockOutChannels.count)
        guard shift == 0 else {
            throw ModelError(.unsupported, "\(file): \"shift_factor\" is \(shift), which Patchloom does not support.")
        }
        guard scalingFactor > 0, latentsStandardDeviation?.allSatisfy({ $0 > 0 }) ?? true else {
            throw ModelError(.badConfiguration, "\(file): \"scaling_factor\" and \"latents_std\" must be positive.")
        }
        guard (latentsMean == nil) == (latentsStandardDeviation == nil) else {
            throw ModelError(.badConfiguration, "\(file): \"latents_mean\" and \"latents_std\" belong together.")
        }
        guard blockOutChannels.allSatisfy({ $0 % normGroups == 0 }) else {
            throw ModelError(.badConfiguration, "\(file): \"block_out_channels\" do not divide into \(normGroups) norm groups.")
        }
    }

    private static func checkBlocks(
        _ reader: ConfigurationReader, _ key: String, _ accepted: String, _ count: Int
    ) throws(ModelError) {
        let names = try reader.strings(key, default: Array(repeating: accepted, count: count))
        guard names.count == count else {
            throw ModelError(
                .badConfiguration, "\(reader.file): \"\(key)\" names \(names.count) blocks, \"block_out_channels\" \(count).")
        }
        for name in names where name != accepted {
            throw ModelError(
                .unsupported, "\(reader.file): \"\(key)\" names the block \"\(name)\", which Patchloom does not support.")
        }
    }
}
