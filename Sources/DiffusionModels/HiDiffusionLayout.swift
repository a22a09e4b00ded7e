/// The places in a U-Net where HiDiffusion acts (Zhang et al. 2023, arXiv 2311.17528; the key lists of the reference package
/// `hidiffusion`). Levels count from the top, like the blocks on the way down.
struct HiDiffusionLayout: Equatable {
    /// The level whose downsampler becomes the dilated convolution of stride 4.
    let dilatedLevel: Int
    /// The level that is pooled after its first layer on the way down, and resized back after its second layer on the way up.
    let pooledLevel: Int
    /// The level whose self-attention runs in windows.
    let windowLevel: Int
    /// The number of windowed transformer blocks in each attention at that level: the first ones.
    let windowedBlocks: Int

    /// nil if the U-Net's arrangement of blocks is neither Stable Diffusion's nor SDXL's.
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
    /// The nominal level at which self-attention runs in windows: 1, 2, 4 and so on, as in `transformerBlocks`; nil if the
    /// network has no place for HiDiffusion.
    public var windowLevel: Int? { HiDiffusionLayout(self).map { 1 << $0.windowLevel } }

    /// The sizes of feature maps while RAU-Net is on; nil if the network has no place for HiDiffusion.
    public var hiDiffusionMaps: HiDiffusionMaps? {
        HiDiffusionLayout(self).map { HiDiffusionMaps(dilatedLevel: 1 << $0.dilatedLevel, pooledLevel: 1 << $0.pooledLevel) }
    }

    /// The number of shift ids that window attention takes; nil if the network has no place for HiDiffusion.
    public var windowBlockCount: Int? {
        guard let layout = HiDiffusionLayout(self) else { return nil }
        // Two attentions on the way down and three on the way up.
        return (2 * layersPerBlock[layout.windowLevel] + 1) * layout.windowedBlocks
    }
}

/// The sizes of a U-Net's feature maps while HiDiffusion's RAU-Net is on. Levels are nominal: 1, 2, 4 and so on.
public struct HiDiffusionMaps: Sendable, Equatable {
    /// Behind this level maps have half their sides while the dilated convolution is on.
    let dilatedLevel: Int
    /// Within this level and behind it, maps have half their sides while pooling is on.
    public let pooledLevel: Int

    /// The sides of a level's largest maps; at a pooled level those before pooling.
    ///
    /// - Parameters:
    ///   - height: of the U-Net's input, in latent points. So is `width`.
    ///   - rad: whether the dilated convolution is on.
    ///   - pool: whether pooling is on.
    public func largest(level: Int, height: Int, width: Int, rad: Bool, pool: Bool) -> (height: Int, width: Int) {
        let divisor = level * (rad && level > dilatedLevel ? 2 : 1) * (pool && level > pooledLevel ? 2 : 1)
        // Convolutions and pooling both round up.
        return ((height + divisor - 1) / divisor, (width + divisor - 1) / divisor)
    }
}
