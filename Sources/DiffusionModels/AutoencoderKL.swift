public import TensorCore
public import Weights

/// The decoder half of the autoencoder: latents to pictures (Rombach et al. 2022, arXiv 2112.10752).
public final class VAEDecoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let postQuant: LinearParameters?
    private let convolutionIn: ConvolutionParameters
    private let mid: VAEMidBlock
    private let levels: [VAELevel]
    private let normOut: GroupNorm
    private let convolutionOut: ConvolutionParameters

    /// - Parameter weights: all tensors of the component. Only the decoder's are taken.
    public init(_ weights: WeightScope, configuration: VAEConfiguration, context: ComputeContext) throws(ModelError) {
        self.configuration = configuration
        self.context = context
        let scope = LayerScope(weights, context)
        let decoder = scope["decoder"]
        let (channels, latent) = (configuration.channels, configuration.latentChannels)
        postQuant =
            configuration.usesPostQuantConvolution
            ? try scope.linear("post_quant_conv", from: latent, to: latent, storage: .convolution) : nil
        var width = channels[channels.count - 1]
        convolutionIn = try decoder.convolution("conv_in", from: latent, to: width)
        mid = try VAEMidBlock(decoder["mid_block"], configuration)
        var levels: [VAELevel] = []
        for (index, outputs) in channels.reversed().enumerated() {
            levels.append(
                try VAELevel(
                    decoder["up_blocks"][index], from: width, to: outputs, layers: configuration.layersPerBlock + 1,
                    groups: configuration.normGroups, resampler: index < channels.count - 1 ? "upsamplers.0.conv" : nil))
            width = outputs
        }
        self.levels = levels
        normOut = try GroupNorm(
            decoder, "conv_norm_out", channels: width, groups: configuration.normGroups, epsilon: vaeNormEpsilon)
        convolutionOut = try decoder.convolution("conv_out", from: width, to: configuration.outChannels)
        try requireNothingLeft(weights, ignoring: ["encoder.", "quant_conv."])
    }

    /// - Parameter latent: (n, h, w, latentChannels), from `VAEConfiguration.decoderInput`.
    /// - Returns: (n, h·scale, w·scale, outChannels), pictures from about −1 to 1, not clipped.
    /// - Throws: `.input` for another shape; `.nonFinite`.
    public func decode(_ latent: Tensor) throws(ModelError) -> Tensor {
        guard latent.shape.count == 4, latent.shape[3] == configuration.latentChannels else {
            throw ModelError(
                .input,
                "The VAE decoder takes latents of \(configuration.latentChannels) channels, channels last, not \(latent.shape)."
            )
        }
        let image = try ModelError.computing("the VAE decoder") { () throws(ComputeError) in try run(latent) }
        try context.requireFinite(image, "The VAE decoder's picture")
        return image
    }

    private func run(_ latent: Tensor) throws(ComputeError) -> Tensor {
        var x = latent
        if let postQuant { x = try context.linear(x, postQuant) }
        x = try mid(context.convolution(x, convolutionIn), context)
        for level in levels {
            for residual in level.residuals { x = try residual(x, context) }
            if let upsampler = level.resampler {
                x = context.resizeNearest(x, height: x.shape[1] * 2, width: x.shape[2] * 2)
                x = try context.convolution(x, upsampler)
            }
        }
        return try context.convolution(normOut(x, silu: true, context), convolutionOut)
    }
}

/// The encoder half of the autoencoder: pictures to the distribution of their latents.
public final class VAEEncoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let convolutionIn: ConvolutionParameters
    private let levels: [VAELevel]
    private let mid: VAEMidBlock
    private let normOut: GroupNorm
    private let convolutionOut: ConvolutionParameters
    private let quant: LinearParameters?

    /// A normal distribution with its own mean and variance for each latent element.
    public struct Distribution {
        /// (n, h/scale, w/scale, latentChannels)
        public let mean: Tensor
        /// Logarithm of the variance, of the same shape, from −30 to 20.
        public let logVariance: Tensor
    }

    /// - Parameter weights: all tensors of the component. Only the encoder's are taken.
    public init(_ weights: WeightScope, configuration: VAEConfiguration, context: ComputeContext) throws(ModelError) {
        self.configuration = configuration
        self.context = context
        let scope = LayerScope(weights, context)
        let encoder = scope["encoder"]
        let (channels, moments) = (configuration.channels, 2 * configuration.latentChannels)
        var width = channels[0]
        convolutionIn = try encoder.convolution("conv_in", from: configuration.imageChannels, to: width)
        var levels: [VAELevel] = []
        for (index, outputs) in channels.enumerated() {
            levels.append(
                try VAELevel(
                    encoder["down_blocks"][index], from: width, to: outputs, layers: configuration.layersPerBlock,
                    groups: configuration.normGroups, resampler: index < channels.count - 1 ? "downsamplers.0.conv" : nil))
            width = outputs
        }
        self.levels = levels
        mid = try VAEMidBlock(encoder["mid_block"], configuration)
        normOut = try GroupNorm(
            encoder, "conv_norm_out", channels: width, groups: configuration.normGroups, epsilon: vaeNormEpsilon)
        convolutionOut = try encoder.convolution("conv_out", from: width, to: moments)
        quant =
            configuration.usesQuantConvolution
            ? try scope.linear("quant_conv", from: moments, to: moments, storage: .convolution) : nil
        try requireNothingLeft(weights, ignoring: ["decoder.", "post_quant_conv."])
    }

    /// - Parameter image: (n, h, w, imageChannels), values from −1 to 1. `VAEConfiguration.scale` must divide the sides.
    /// - Throws: `.input` for another shape; `.nonFinite`.
    public func encode(_ image: Tensor) throws(ModelError) -> Distribution {
        let (shape, scale) = (image.shape, configuration.scale)
        guard shape.count == 4, shape[3] == configuration.imageChannels, shape[1] % scale == 0, shape[2] % scale == 0 else {
            throw ModelError(
                .input,
                "The VAE encoder takes pictures of \(configuration.imageChannels) channels, channels last, with sides that "
                    + "\(scale) divides, not \(shape).")
        }
        let moments = try ModelError.computing("the VAE encoder") { () throws(ComputeError) in try run(image) }
        try context.requireFinite(moments, "The VAE encoder's latent")
        return split(moments)
    }

    private func run(_ image: Tensor) throws(ComputeError) -> Tensor {
        var x = try context.convolution(image, convolutionIn)
        for level in levels {
            for residual in level.residuals { x = try residual(x, context) }
            if let downsampler = level.resampler {
                // The model was trained with zeros only at the right and the bottom.
                x = try context.convolution(
                    x, downsampler, stride: 2, padding: Padding(top: 0, left: 0, bottom: 1, right: 1))
            }
        }
        x = try mid(x, context)
        x = try context.convolution(normOut(x, silu: true, context), convolutionOut)
        if let quant { x = try context.linear(x, quant) }
        return x
    }

    private func split(_ moments: Tensor) -> Distribution {
        let c = configuration.latentChannels
        let shape = Array(moments.shape.dropLast()) + [c]
        let (mean, logVariance) = (context.empty(shape), context.empty(shape))
        let source = moments.elements(as: Float.self)
        let (first, second) = (mean.elements(as: Float.self), logVariance.elements(as: Float.self))
        for pixel in 0..<(mean.count / c) {
            for k in 0..<c {
                first[pixel * c + k] = source[pixel * 2 * c + k]
                second[pixel * c + k] = min(20, max(-30, source[pixel * 2 * c + c + k]))
            }
        }
        return Distribution(mean: mean, logVariance: logVariance)
    }
}

/// Throws if one half of the autoencoder left tensors of its own behind.
private func requireNothingLeft(_ weights: WeightScope, ignoring: [String]) throws(ModelError) {
    do { try weights.requireAllConsumed(ignoring: ignoring) } catch { throw ModelError(error) }
}
