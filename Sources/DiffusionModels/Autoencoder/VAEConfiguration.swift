public import StrictJSON

/// The numbers of a variational autoencoder, from the `config.json` of diffusers' `AutoencoderKL`.
public struct VAEConfiguration: Sendable, Equatable {
    private enum EncoderBlockType: String, CaseIterable { case down = "DownEncoderBlock2D" }
    private enum DecoderBlockType: String, CaseIterable { case up = "UpDecoderBlock2D" }

    public let imageChannels: Int
    public let outChannels: Int
    public let latentChannels: Int
    /// Channels of each level, image to latent.
    public let channels: [Int]
    public let layersPerBlock: Int
    public let normGroups: Int
    public let usesQuantConvolution: Bool
    public let usesPostQuantConvolution: Bool
    public let hasMidAttention: Bool
    /// The ratio of the U-Net's latents to the autoencoder's own.
    public let scalingFactor: Double
    /// Mean of each latent channel; nil in most models.
    public let latentsMean: [Double]?
    /// Standard deviation of each latent channel; nil in most models.
    public let latentsDeviation: [Double]?
    /// Keys of the file that have no effect here, sorted.
    public let unknownKeys: [String]

    /// - Parameters:
    ///   - json: the content of `config.json`.
    ///   - file: its path, for messages.
    /// - Throws: `.configuration` with the key, the value and the file.
    public init(json: JSONValue, file: String = "vae/config.json") throws(ModelError) {
        let reader = try ConfigurationReader(json, file: file)
        try VAEConfiguration.refuseUnsupported(reader)
        imageChannels = try reader.integer("in_channels", default: 3)
        outChannels = try reader.integer("out_channels", default: 3)
        latentChannels = try reader.integer("latent_channels", default: 4)
        channels = try reader.integers("block_out_channels", default: [64])
        layersPerBlock = try reader.integer("layers_per_block", default: 1, in: 1...64)
        normGroups = try reader.integer("norm_num_groups", default: 32)
        usesQuantConvolution = try reader.optional("use_quant_conv", .flag()) ?? true
        usesPostQuantConvolution = try reader.optional("use_post_quant_conv", .flag()) ?? true
        hasMidAttention = try reader.optional("mid_block_add_attention", .flag()) ?? true
        scalingFactor = try reader.positiveNumber("scaling_factor", default: 0.18215)
        latentsMean = try reader.optionalNumbers("latents_mean", count: latentChannels)
        latentsDeviation = try reader.optionalNumbers("latents_std", count: latentChannels)
        unknownKeys = reader.unknownKeys(otherThan: VAEConfiguration.knownKeys)
        _ = try reader.blockTypes("down_block_types", default: [EncoderBlockType.down], levels: channels.count)
        _ = try reader.blockTypes("up_block_types", default: [DecoderBlockType.up], levels: channels.count)
        for width in channels where width % normGroups != 0 {
            throw reader.fault("norm_num_groups", "it must divide the \(width) channels of a block")
        }
        guard (latentsMean == nil) == (latentsDeviation == nil) else {
            throw reader.fault("latents_mean", "latents_mean and latents_std go together")
        }
        guard latentsDeviation?.allSatisfy({ $0 > 0 }) ?? true else {
            throw reader.fault("latents_std", "standard deviations are above 0")
        }
    }

    /// The number of pixels along one side of a latent point: 8 in Stable Diffusion.
    public var scale: Int { 1 << (channels.count - 1) }

    /// The sections of a decode in tiles, one more than its group norms: two in each residual block, one in the attention, one
    /// at the end.
    public var decodeSectionCount: Int {
        1 + 4 + (hasMidAttention ? 1 : 0) + 2 * (layersPerBlock + 1) * channels.count + 1
    }

    /// The most bytes of activations in f32 for a latent point of a tile that is decoded: a residual block at the top of a
    /// level holds its input, its first half's result and its shortcut.
    public var decodeBytesPerPoint: Int {
        let order = Array(channels.reversed())
        return order.indices.map { level in (order[max(0, level - 1)] + 2 * order[level]) * 4 << (2 * level) }.max() ?? 1
    }

    /// Height and width of the levels' images, latent to image.
    func sides(latent: Int) -> [Int] { channels.indices.map { latent << min($0, 5) } }

    private static func refuseUnsupported(_ reader: ConfigurationReader) throws(ModelError) {
        try reader.require("_class_name", "AutoencoderKL")
        try reader.require("act_fn", "silu", "swish")
        try reader.require("shift_factor", .null, 0)
        try reader.require("quantization_config", .null)
    }

    /// The keys that are read or required. `sample_size` and `force_upcast` decide about tiling and half precision; neither
    /// is used here.
    private static let knownKeys: Set<String> = [
        "act_fn", "block_out_channels", "down_block_types", "force_upcast", "in_channels", "latent_channels", "latents_mean",
        "latents_std", "layers_per_block", "mid_block_add_attention", "norm_num_groups", "out_channels", "quantization_config",
        "sample_size", "scaling_factor", "shift_factor", "up_block_types", "use_post_quant_conv", "use_quant_conv",
    ]
}

extension VAEConfiguration {
    /// Converts a sampler's latent, planar (n, c, h, w), for the decoder: it divides by the scaling factor. If the model has
    /// means and deviations, it computes z · σ / scaling + μ by channel instead.
    public func decoderInput(_ latent: [Float], height: Int, width: Int) -> [Float] {
        mapChannels(latent, plane: height * width) { z, channel in
            guard let mean = latentsMean, let deviation = latentsDeviation else { return z / Float(scalingFactor) }
            return z * Float(deviation[channel]) / Float(scalingFactor) + Float(mean[channel])
        }
    }

    /// The inverse of `decoderInput`: converts an encoder's latent for a sampler.
    public func samplerLatent(_ latent: [Float], height: Int, width: Int) -> [Float] {
        mapChannels(latent, plane: height * width) { z, channel in
            guard let mean = latentsMean, let deviation = latentsDeviation else { return z * Float(scalingFactor) }
            return (z - Float(mean[channel])) * Float(scalingFactor) / Float(deviation[channel])
        }
    }

    private func mapChannels(_ latent: [Float], plane: Int, _ transform: (Float, Int) -> Float) -> [Float] {
        precondition(plane > 0 && latent.count % (plane * latentChannels) == 0, "\(latent.count) values are no whole latent")
        return latent.indices.map { transform(latent[$0], $0 / plane % latentChannels) }
    }
}
