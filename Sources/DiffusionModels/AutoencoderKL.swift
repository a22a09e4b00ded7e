public import TensorCore
public import Weights

/// The decoder half of the autoencoder: latents to pictures (Rombach et al. 2022, arXiv 2112.10752).
public final class VAEDecoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let postQuant: LinearParameters?
    private let layers: VAELayers

    /// - Parameter weights: all tensors of the component. Only the decoder's are taken.
    public init(_ weights: WeightScope, configuration: VAEConfiguration, context: ComputeContext) throws(ModelError) {
        self.configuration = configuration
        self.context = context
        let scope = LayerScope(weights, context)
        let (channels, latent) = (configuration.channels, configuration.latentChannels)
        postQuant =
            configuration.usesPostQuantConvolution
            ? try LayerScope(weights, context, precision: .f32).linear(
                "post_quant_conv", from: latent, to: latent, isConvolution: true) : nil
        layers = try VAELayers(
            scope["decoder"], configuration, from: latent, through: channels.reversed(), to: configuration.outChannels,
            sides: configuration.sides(latent: scope.side), blocks: "up_blocks", layers: configuration.layersPerBlock + 1,
            resampler: ("upsamplers.0.conv", stride: 1))
        try scope.requireNothingLeft(ignoring: ["encoder.", "quant_conv."])
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
        x = context.convert(x, to: context.precision)
        x = try layers.mid(context.convolution(x, layers.convolutionIn), context)
        for level in layers.levels {
            for residual in level.residuals { x = try residual(x, context) }
            if let upsampler = level.resampler {
                x = context.resizeNearest(x, height: x.shape[1] * 2, width: x.shape[2] * 2)
                x = try context.convolution(x, upsampler)
            }
        }
        return try context.convolution(layers.normOut(x, silu: true, context), layers.convolutionOut, as: .f32)
    }
}

/// The encoder half of the autoencoder: pictures to the distribution of their latents.
public final class VAEEncoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let layers: VAELayers
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
        let moments = 2 * configuration.latentChannels
        layers = try VAELayers(
            scope["encoder"], configuration, from: configuration.imageChannels, through: configuration.channels, to: moments,
            sides: configuration.sides(latent: scope.side).reversed(), blocks: "down_blocks",
            layers: configuration.layersPerBlock, resampler: ("downsamplers.0.conv", stride: 2))
        quant =
            configuration.usesQuantConvolution
            ? try LayerScope(weights, context, precision: .f32).linear(
                "quant_conv", from: moments, to: moments, isConvolution: true) : nil
        try scope.requireNothingLeft(ignoring: ["decoder.", "post_quant_conv."])
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
        var x = try context.convolution(context.convert(image, to: context.precision), layers.convolutionIn)
        for level in layers.levels {
            for residual in level.residuals { x = try residual(x, context) }
            if let downsampler = level.resampler {
                // The model was trained with zeros only at the right and the bottom.
                x = try context.convolution(
                    x, downsampler, stride: 2, padding: Padding(top: 0, left: 0, bottom: 1, right: 1))
            }
        }
        x = try layers.mid(x, context)
        x = try context.convolution(layers.normOut(x, silu: true, context), layers.convolutionOut, as: .f32)
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
