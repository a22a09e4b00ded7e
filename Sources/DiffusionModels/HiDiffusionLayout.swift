/// Where HiDiffusion acts in a U-Net, by position (Zhang et al. 2023, arXiv 2311.17528; the key lists of the reference package
/// `hidiffusion`). Levels are counted from the top, as the blocks on the way down are.
struct HiDiffusionLayout: Equatable {
    /// The level whose downsampler becomes the dilated convolution of stride 4.
    let dilatedLevel: Int
    /// The level that is pooled behind its first layer on the way down, and resized back behind its second on the way up.
    let pooledLevel: Int
    /// The level whose self-attention runs in windows.
    let windowLevel: Int
    /// The first transformer blocks of each attention at that level have windows, this many of them.
    let windowedBlocks: Int

    /// nil when the U-Net has neither Stable Diffusion's nor SDXL's arrangement of blocks.
    init?(_ configuration: UNetConfiguration) {
        guard configuration.layersPerBlock.allSatisfy({ $0 == 2 }) else { return nil }
        switch configuration.downBlocks {
        case [.crossAttention, .crossAttention, .crossAttention, .plain]
        where configuration.upBlocks == [.plain, .crossAttention, .crossAttention, .crossAttention]:
            (dilatedLevel, pooledLevel, windowLevel, windowedBlocks) = (0, 1, 0, 1)
        case [.plain, .crossAttention, .crossAttention]
        where configuration.upBlocks == [.crossAttention, .crossAttention, .plain]:
            (dilatedLevel, pooledLevel, windowLevel, windowedBlocks) = (1, 1, 1, 2)
        default: return nil
        }
    }
}

extension UNetConfiguration {
    /// The nominal level at which self-attention runs in windows: 1, 2, 4 and so on, as in `transformerBlocks`; nil
    /// when HiDiffusion has no place in the network.
    public var windowLevel: Int? { HiDiffusionLayout(self).map { 1 << $0.windowLevel } }

    /// The nominal levels behind which feature maps have half their sides while RAU-Net's dilated convolution, or its
    /// pooling, is on; nil when HiDiffusion has no place in the network.
    public var shrinkingLevels: (dilated: Int, pooled: Int)? {
        HiDiffusionLayout(self).map { (1 << $0.dilatedLevel, 1 << $0.pooledLevel) }
    }

    /// How many shift ids a plan with window attention carries; nil when HiDiffusion has no place in the network.
    public var windowBlockCount: Int? {
        guard let layout = HiDiffusionLayout(self) else { return nil }
        // Two attentions on the way down and three on the way up.
        return (2 * layersPerBlock[layout.windowLevel] + 1) * layout.windowedBlocks
    }
}
