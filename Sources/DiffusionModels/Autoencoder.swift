public import TensorCore
public import Weights

/// From latents to pixels: the decoder half of diffusers' `AutoencoderKL`.
public final class AutoencoderDecoder {
    public let configuration: AutoencoderConfiguration
    private let context: ComputeContext
    private let postQuant: ConvolutionParameters?
    private let inputConvolution: ConvolutionParameters
    private let middle: AutoencoderMiddle
    private let levels: [AutoencoderLevel]
    private let outputNorm: Norm
    private let outputConvolution: ConvolutionParameters

    /// Builds the decoder from the weights of the whole autoencoder. Throws `WeightsError` for missing or misshapen tensors; tensors of
    /// the decoder that are left over are refused, those of the encoder are not looked at.
    public init(_ weights: WeightScope, configuration: AutoencoderConfiguration, context: ComputeContext) throws {
        let (decoder, latent) = (weights["decoder"], configuration.latentChannels)
        let channels = Array(configuration.blockOutChannels.reversed())
        postQuant =
            configuration.usesPostQuantConvolution
            ? try context.convolution(weights["post_quant_conv"], latent, latent, kernel: 1) : nil
        inputConvolution = try context.convolution(decoder["conv_in"], latent, channels[0])
        middle = try AutoencoderMiddle(decoder["mid_block"], configuration, context)
        levels = try channels.indices.map { level in
            let place = decoder["up_blocks"][level]
            let resnets = try (0...configuration.layersPerBlock).map { layer in
                let input = layer == 0 ? channels[max(0, level - 1)] : channels[level]
                return try ResnetBlock(place["resnets"][layer], configuration.resnetShape(input, channels[level]), context)
            }
            let upsampler =
                level < channels.count - 1
                ? try context.convolution(place["upsamplers"][0]["conv"], channels[level], channels[level]) : nil
            return AutoencoderLevel(resnets: resnets, resampler: upsampler)
        }
        let last = channels[channels.count - 1]
        outputNorm = try Norm(decoder["conv_norm_out"], channels: last)
        outputConvolution = try context.convolution(decoder["conv_out"], last, configuration.outChannels)
        try weights.requireAllConsumed(ignoring: ["position_ids", "encoder.", "quant_conv."])
        self.configuration = configuration
        self.context = context
    }

    /// - Parameter latent: (n, h, w, latentChannels) in the autoencoder's own scale.
    /// - Returns: (n, h·s, w·s, outChannels), nominally in [−1, 1], not clamped; s is the configuration's `scaleFactor`.
    public func decode(_ latent: Tensor) throws -> Tensor {
        guard latent.shape.count == 4, latent.shape[3] == configuration.latentChannels else {
            throw ModelError(
                .badInput,
                "The decoder takes latents of \(configuration.latentChannels) channels, not a tensor of shape \(latent.shape).")
        }
        var x = try postQuant.map { try context.convolution(latent, $0, padding: .none) } ?? latent
        x = try middle.forward(context.convolution(x, inputConvolution), context)
        for level in levels {
            x = try level.residuals(x, context)
            if let upsampler = level.resampler {
                x = context.resizeNearest(x, height: 2 * x.shape[1], width: 2 * x.shape[2])
                x = try context.convolution(x, upsampler)
            }
        }
        x = context.groupNorm(
            x, outputNorm, groups: configuration.normGroups, epsilon: AutoencoderConfiguration.normEpsilon, silu: true)
        return try context.convolution(x, outputConvolution)
    }

    /// Takes a latent from the U-Net's scale to the autoencoder's.
    ///
    /// - Parameter latent: (n, h, w, latentChannels)
    public func unscaled(_ latent: Tensor) -> Tensor {
        let y = Tensor(latent.array, shape: latent.shape)
        let values = y.floats
        let channels = configuration.latentChannels
        for index in values.indices {
            if let mean = configuration.latentsMean, let deviation = configuration.latentsStandardDeviation {
                let channel = index % channels
                values[index] = values[index] * deviation[channel] / configuration.scalingFactor + mean[channel]
            } else {
                values[index] /= configuration.scalingFactor
            }
        }
        return y
    }
}

/// From pixels to the distribution of latents: the encoder half of diffusers' `AutoencoderKL`.
public final class AutoencoderEncoder {
    public let configuration: AutoencoderConfiguration
    private let context: ComputeContext
    private let inputConvolution: ConvolutionParameters
    private let levels: [AutoencoderLevel]
    private let middle: AutoencoderMiddle
    private let outputNorm: Norm
    private let outputConvolution: ConvolutionParameters
    private let quant: ConvolutionParameters?

    /// As `AutoencoderDecoder.init`, with the roles of the halves exchanged.
    public init(_ weights: WeightScope, configuration: AutoencoderConfiguration, context: ComputeContext) throws {
        let (encoder, channels) = (weights["encoder"], configuration.blockOutChannels)
        let moments = 2 * configuration.latentChannels
        inputConvolution = try context.convolution(encoder["conv_in"], configuration.imageChannels, channels[0])
        levels = try channels.indices.map { level in
            let place = encoder["down_blocks"][level]
            let resnets = try (0..<configuration.layersPerBlock).map { layer in
                let input = layer == 0 ? channels[max(0, level - 1)] : channels[level]
                return try ResnetBlock(place["resnets"][layer], configuration.resnetShape(input, channels[level]), context)
            }
            let downsampler =
                level < channels.count - 1
                ? try context.convolution(place["downsamplers"][0]["conv"], channels[level], channels[level]) : nil
            return AutoencoderLevel(resnets: resnets, resampler: downsampler)
        }
        middle = try AutoencoderMiddle(encoder["mid_block"], configuration, context)
        let last = channels[channels.count - 1]
        outputNorm = try Norm(encoder["conv_norm_out"], channels: last)
        outputConvolution = try context.convolution(encoder["conv_out"], last, moments)
        quant =
            configuration.usesQuantConvolution
            ? try context.convolution(weights["quant_conv"], moments, moments, kernel: 1) : nil
        try weights.requireAllConsumed(ignoring: ["position_ids", "decoder.", "post_quant_conv."])
        self.configuration = configuration
        self.context = context
    }

    /// - Parameter image: (n, h, w, imageChannels) in [−1, 1]; sides divisible by the scale factor.
    /// - Returns: mean and logarithm of the variance, each (n, h/s, w/s, latentChannels), the latter within [−30, 20].
    public func encode(_ image: Tensor) throws -> (mean: Tensor, logVariance: Tensor) {
        let s = configuration.scaleFactor
        guard image.shape.count == 4, image.shape[3] == configuration.imageChannels, image.shape[1] % s == 0,
            image.shape[2] % s == 0
        else {
            throw ModelError(
                .badInput,
                "The encoder takes images of \(configuration.imageChannels) channels with sides divisible by \(s), not \(image.shape)."
            )
        }
        var x = try context.convolution(image, inputConvolution)
        for level in levels {
            x = try level.residuals(x, context)
            if let downsampler = level.resampler {
                let padding = Padding(top: 0, left: 0, bottom: 1, right: 1)
                x = try context.convolution(x, downsampler, stride: 2, padding: padding)
            }
        }
        x = try middle.forward(x, context)
        x = context.groupNorm(
            x, outputNorm, groups: configuration.normGroups, epsilon: AutoencoderConfiguration.normEpsilon, silu: true)
        x = try context.convolution(x, outputConvolution)
        if let quant { x = try context.convolution(x, quant, padding: .none) }
        return split(x)
    }

    private func split(_ moments: Tensor) -> (mean: Tensor, logVariance: Tensor) {
        let c = configuration.latentChannels
        let shape = moments.shape.dropLast() + [c]
        let (mean, logVariance) = (Tensor(uninitialized: Array(shape)), Tensor(uninitialized: Array(shape)))
        let source = moments.floats
        for pixel in 0..<(moments.count / (2 * c)) {
            for k in 0..<c {
                mean.floats[pixel * c + k] = source[pixel * 2 * c + k]
                logVariance.floats[pixel * c + k] = min(20, max(-30, source[pixel * 2 * c + c + k]))
            }
        }
        return (mean, logVariance)
    }
}
