public import TensorCore
public import Weights

/// The decoder half of the autoencoder: latents to pictures (Rombach et al. 2022, arXiv 2112.10752).
public final class VAEDecoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let network: TiledNetwork

    /// - Parameter weights: all tensors of the component. Only the decoder's are taken.
    public init(_ weights: WeightScope, configuration: VAEConfiguration, context: ComputeContext) throws(ModelError) {
        (self.configuration, self.context) = (configuration, context)
        let scope = LayerScope(weights, context)
        let (channels, latent) = (configuration.channels, configuration.latentChannels)
        let postQuant =
            configuration.usesPostQuantConvolution
            ? try LayerScope(weights, context, precision: .f32).linear(
                "post_quant_conv", from: latent, to: latent, isConvolution: true) : nil
        let layers = try VAELayers(
            scope["decoder"], configuration, from: latent, through: channels.reversed(), to: configuration.outChannels,
            sides: configuration.sides(latent: scope.side), blocks: "up_blocks", layers: configuration.layersPerBlock + 1,
            resampler: ("upsamplers.0.conv", stride: 1))
        try scope.requireNothingLeft(ignoring: ["encoder.", "quant_conv."])
        let levels = layers.levels.flatMap { $0.steps + ($0.resampler.map { [.enlarge($0)] } ?? []) }
        network = TiledNetwork(
            steps: VAESteps(
                [.enter(layers.convolutionIn)] + layers.mid.steps + levels + [.leave(layers.normOut, layers.convolutionOut)]),
            context: context,
            prepare: { part throws(ComputeError) in
                var x = part
                if let postQuant { x = try context.linear(x, postQuant) }
                return context.convert(x, to: context.precision)
            }, finish: { $0 })
    }

    /// The sections of a decode in tiles: each but the last ends before a group norm.
    public var sectionCount: Int { network.sectionCount }

    /// Computes a section of one tile.
    ///
    /// - Parameters:
    ///   - latent: from `VAEConfiguration.decoderInput`.
    ///   - moments: of the norms of all earlier sections, each of the whole image.
    /// - Returns: moments, or in the last section pixels, (1, h·scale, w·scale, outChannels), from about −1 to 1, not clipped.
    /// - Throws: `.input` for a latent of another shape; `.nonFinite`.
    public func run(
        _ section: Int, tile: Int, of latent: TiledImage, moments: [GroupMoments]
    ) throws(ModelError) -> TileResult {
        try check(latent.input)
        return try network.checked(section, tile: tile, of: latent, moments: moments, "The VAE decoder")
    }

    /// Decodes a latent of one tile.
    ///
    /// - Returns: (1, h·scale, w·scale, outChannels), from about −1 to 1, not clipped.
    /// - Throws: `.input` for a latent of another shape; `.nonFinite`.
    public func decode(_ latent: TiledImage) throws(ModelError) -> Tensor {
        try check(latent.input)
        return try network.run(latent, "The VAE decoder")
    }

    /// Decodes a part of a latent as if it were a whole one.
    ///
    /// - Returns: as `decode(_:)`, of the part.
    /// - Throws: `.input` for a latent of another shape, or a part that is not inside it; `.nonFinite`.
    public func decode(_ part: ImageBox, of latent: TiledImage) throws(ModelError) -> Tensor {
        try check(latent.input)
        guard !part.rows.isEmpty, !part.columns.isEmpty, latent.grid.image.contains(part) else {
            throw ModelError(.input, "The VAE decoder got a part that is not inside its latent.")
        }
        return try network.run(
            context.cropped(latent.input, rows: part.rows, columns: part.columns), "The VAE decoder")
    }

    /// Decodes all tiles of a latent, one after the other.
    ///
    /// - Parameter take: gets the pixels of each tile, (1, h·scale, w·scale, outChannels).
    /// - Throws: `.input` for a latent of another shape; `.nonFinite`.
    public func decode(_ latent: TiledImage, take: (_ tile: Int, _ pixels: Tensor) -> Void) throws(ModelError) {
        try check(latent.input)
        try network.run(latent, "The VAE decoder", take)
    }

    /// Decodes each latent of a batch as one tile.
    ///
    /// - Parameter latent: (n, h, w, latentChannels), from `VAEConfiguration.decoderInput`.
    /// - Returns: (n, h·scale, w·scale, outChannels), pictures from about −1 to 1, not clipped.
    /// - Throws: `.input` for another shape; `.nonFinite`.
    public func decode(_ latent: Tensor) throws(ModelError) -> Tensor {
        try check(latent)
        return try network.run(latent, "The VAE decoder")
    }

    private func check(_ latent: Tensor) throws(ModelError) {
        guard latent.shape.count == 4, latent.shape[3] == configuration.latentChannels else {
            throw ModelError(
                .input,
                "The VAE decoder takes latents of \(configuration.latentChannels) channels, channels last, not \(latent.shape)."
            )
        }
    }
}

/// The encoder half of the autoencoder: pictures to the distribution of their latents.
public final class VAEEncoder {
    public let configuration: VAEConfiguration
    private let context: ComputeContext
    private let network: TiledNetwork

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
        let layers = try VAELayers(
            scope["encoder"], configuration, from: configuration.imageChannels, through: configuration.channels, to: moments,
            sides: configuration.sides(latent: scope.side).reversed(), blocks: "down_blocks",
            layers: configuration.layersPerBlock, resampler: ("downsamplers.0.conv", stride: 2))
        let quant =
            configuration.usesQuantConvolution
            ? try LayerScope(weights, context, precision: .f32).linear(
                "quant_conv", from: moments, to: moments, isConvolution: true) : nil
        try scope.requireNothingLeft(ignoring: ["decoder.", "post_quant_conv."])
        let levels = layers.levels.flatMap { $0.steps + ($0.resampler.map { [.reduce($0)] } ?? []) }
        network = TiledNetwork(
            steps: VAESteps(
                [.enter(layers.convolutionIn)] + levels + layers.mid.steps + [.leave(layers.normOut, layers.convolutionOut)]),
            context: context, prepare: { context.convert($0, to: context.precision) },
            finish: { moments throws(ComputeError) in
                if let quant { try context.linear(moments, quant) } else { moments }
            })
    }

    /// The sections of an encoding in tiles: each but the last ends before a group norm.
    public var sectionCount: Int { network.sectionCount }

    /// Computes a section of one tile.
    ///
    /// - Parameters:
    ///   - picture: values from −1 to 1. `VAEConfiguration.scale` divides its sides.
    ///   - moments: of the norms of all earlier sections, each of the whole image.
    /// - Returns: moments, or in the last section means and logarithms of variances, (1, h, w, 2·latentChannels); `split` parts
    ///   them.
    /// - Throws: `.input` for a picture of another shape; `.nonFinite`.
    public func run(
        _ section: Int, tile: Int, of picture: TiledImage, moments: [GroupMoments]
    ) throws(ModelError) -> TileResult {
        try check(picture.input)
        return try network.checked(section, tile: tile, of: picture, moments: moments, "The VAE encoder")
    }

    /// Encodes each picture of a batch as one tile.
    ///
    /// - Parameter image: (n, h, w, imageChannels), values from −1 to 1. `VAEConfiguration.scale` must divide the sides.
    /// - Throws: `.input` for another shape; `.nonFinite`.
    public func encode(_ image: Tensor) throws(ModelError) -> Distribution {
        try check(image)
        return split(try network.run(image, "The VAE encoder"))
    }

    /// Encodes one picture of any size, in bands of rows. The bands do not show in the bits.
    ///
    /// - Parameters:
    ///   - picture: as above.
    ///   - memoryBytes: the image between two sections lies in memory up to this number of bytes.
    /// - Throws: `.input` for another shape; `.nonFinite`; `.compute` also for a full disk.
    public func encode(_ picture: ImageRows, memoryBytes: Int) throws(ModelError) -> Distribution {
        try encode(picture, memoryBytes: memoryBytes, bandBytes: 128 << 20)
    }

    func encode(_ picture: ImageRows, memoryBytes: Int = 0, bandBytes: Int) throws(ModelError) -> Distribution {
        try check(shape: [1, picture.height, picture.width, configuration.imageChannels])
        let banded = BandedNetwork(network: network, source: picture, bandBytes: bandBytes, memoryBytes: memoryBytes)
        var values: [Float] = []
        try ModelError.computing("The VAE encoder") { () throws(ComputeError) in
            try banded.run { values.append(contentsOf: $0.elements(as: Float.self)) }
        }
        let (height, width) = (picture.height / configuration.scale, picture.width / configuration.scale)
        let moments = Tensor(values, shape: [1, height, width, 2 * configuration.latentChannels])
        try context.requireFinite(moments, "The VAE encoder's result")
        return split(moments)
    }

    private func check(_ image: Tensor) throws(ModelError) { try check(shape: image.shape) }

    private func check(shape: [Int]) throws(ModelError) {
        let scale = configuration.scale
        guard shape.count == 4, shape[3] == configuration.imageChannels, shape[1] % scale == 0, shape[2] % scale == 0 else {
            throw ModelError(
                .input,
                "The VAE encoder takes pictures of \(configuration.imageChannels) channels, channels last, with sides that "
                    + "\(scale) divides, not \(shape).")
        }
    }

    /// Parts the result of the last section into means and variances.
    ///
    /// - Parameter moments: (n, h, w, 2·latentChannels)
    public func split(_ moments: Tensor) -> Distribution {
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
