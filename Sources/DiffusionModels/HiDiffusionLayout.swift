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

    /// How large feature maps are while RAU-Net is on; nil when HiDiffusion has no place in the network.
    public var hiDiffusionMaps: HiDiffusionMaps? {
        HiDiffusionLayout(self).map { HiDiffusionMaps(dilatedLevel: 1 << $0.dilatedLevel, pooledLevel: 1 << $0.pooledLevel) }
    }

    /// How many shift ids a plan with window attention carries; nil when HiDiffusion has no place in the network.
    public var windowBlockCount: Int? {
        guard let layout = HiDiffusionLayout(self) else { return nil }
        // Two attentions on the way down and three on the way up.
        return (2 * layersPerBlock[layout.windowLevel] + 1) * layout.windowedBlocks
    }
}

/// How large a U-Net's feature maps are while HiDiffusion's RAU-Net is on. Levels are nominal: 1, 2, 4 and so on.
public struct HiDiffusionMaps: Sendable, Equatable {
    /// The level behind which maps have half their sides while the dilated convolution is on.
    let dilatedLevel: Int
    /// The level within which, and behind which, they have half their sides while pooling is on.
    public let pooledLevel: Int

    /// The sides of a level's largest maps: of a pooled level those before pooling.
    ///
    /// - Parameters:
    ///   - height: of the U-Net's input, in latent points.
    ///   - rad: whether the dilated convolution is on.
    ///   - pool: whether pooling is on.
    public func largest(level: Int, height: Int, width: Int, rad: Bool, pool: Bool) -> (height: Int, width: Int) {
        let divisor = level * (rad && level > dilatedLevel ? 2 : 1) * (pool && level > pooledLevel ? 2 : 1)
        // Convolutions and pooling both round up.
        return ((height + divisor - 1) / divisor, (width + divisor - 1) / divisor)
    }
}
