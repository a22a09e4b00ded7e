import DiffusionModels

/// Multiplications and additions of whole networks by formula, from their configurations alone: matrix products, convolutions
/// and attention, without HiDiffusion and token reduction. `ComputeContext` counts the same while it computes; `check` holds
/// the two against each other.
enum NetworkArithmetic {
    /// One U-Net call.
    ///
    /// - Parameter tokens: of the text.
    static func unet(_ unet: UNetConfiguration, height: Int, width: Int, batch: Int, tokens: Int) -> UInt64 {
        var products = 0
        let time = unet.channels[0] * 4
        /// Pixels at each level. A halving convolution of stride 2 rounds up.
        var areas: [Int] = []
        var (h, w) = (height, width)
        for _ in 0..<unet.levels {
            areas.append(h * w)
            (h, w) = ((h + 1) / 2, (w + 1) / 2)
        }
        func residual(_ level: Int, from inputs: Int) {
            let outputs = unet.channels[level]
            products += areas[level] * (9 * inputs * outputs + 9 * outputs * outputs) + time * outputs
            if inputs != outputs { products += areas[level] * inputs * outputs }
        }
        func transformer(_ level: Int, layers: Int) {
            let (c, area) = (unet.channels[level], areas[level])
            products += 2 * area * c * c
            let toItself = 4 * area * c * c + 2 * area * area * c
            let toText = 2 * area * c * c + 2 * tokens * unet.textWidth * c + 2 * area * tokens * c
            products += layers * (toItself + toText + 12 * area * c * c)
        }
        products += unet.channels[0] * time + time * time
        if let added = unet.added {
            let width = added.textWidth + added.timeWidth * UNetConfiguration.AddedConditioning.timeIDCount
            products += width * time + time * time
        }
        products += 9 * areas[0] * unet.channels[0] * (unet.inChannels + unet.outChannels)
        let last = unet.levels - 1
        for level in 0...last {
            for layer in 0..<unet.layersPerBlock[level] {
                residual(level, from: unet.channels[layer == 0 ? max(0, level - 1) : level])
                if unet.downAttention[level] { transformer(level, layers: unet.transformerLayers[level]) }
            }
            if level < last { products += 9 * areas[level + 1] * unet.channels[level] * unet.channels[level] }
        }
        for _ in 0..<2 { residual(last, from: unet.channels[last]) }
        transformer(last, layers: unet.transformerLayers[last])
        for level in (0...last).reversed() {
            for layer in 0...unet.layersPerBlock[level] {
                let before = unet.channels[layer == 0 ? min(last, level + 1) : level]
                let skip = unet.channels[layer == unet.layersPerBlock[level] ? max(0, level - 1) : level]
                residual(level, from: before + skip)
                if unet.upAttention[last - level] { transformer(level, layers: unet.upTransformerLayers[level]) }
            }
            if level > 0 { products += 9 * areas[level - 1] * unet.channels[level] * unet.channels[level] }
        }
        return 2 * UInt64(products) * UInt64(batch)
    }

    /// One call of the autoencoder's decoder.
    static func decoder(_ vae: VAEConfiguration, height: Int, width: Int) -> UInt64 {
        let (latent, bottom) = (vae.latentChannels, vae.channels[vae.channels.count - 1])
        var area = height * width
        var products = 9 * area * latent * bottom
        if vae.usesPostQuantConvolution { products += area * latent * latent }
        func residual(from inputs: Int, to outputs: Int) {
            products += area * (9 * inputs * outputs + 9 * outputs * outputs)
            if inputs != outputs { products += area * inputs * outputs }
        }
        for _ in 0..<2 { residual(from: bottom, to: bottom) }
        if vae.hasMidAttention { products += 4 * area * bottom * bottom + 2 * area * area * bottom }
        var before = bottom
        for (index, channels) in vae.channels.reversed().enumerated() {
            residual(from: before, to: channels)
            for _ in 0..<vae.layersPerBlock { residual(from: channels, to: channels) }
            before = channels
            guard index < vae.channels.count - 1 else { break }
            area *= 4
            products += 9 * area * channels * channels
        }
        return 2 * UInt64(products + 9 * area * before * vae.outChannels)
    }

    /// One call of a text encoder.
    static func text(_ text: CLIPTextConfiguration, rows: Int, tokens: Int, isProjected: Bool) -> UInt64 {
        let width = text.hiddenSize
        let layer =
            tokens * (4 * width * width + 2 * width * text.intermediateSize) + tokens * (tokens + 1) / 2 * 2 * width
        return 2 * UInt64(rows) * UInt64(text.layerCount * layer + (isProjected ? width * text.projectionSize : 0))
    }
}
