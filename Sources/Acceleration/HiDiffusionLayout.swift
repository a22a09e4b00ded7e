/// The places in a U-Net where HiDiffusion acts, by position (Zhang et al. 2023, arXiv 2311.17528; the key lists of the
/// reference package `hidiffusion`). Levels are counted from the top, from 0, each with half the sides of the one above.
public struct HiDiffusionLayout: Sendable, Equatable {
    /// Whether each level, from the top, has attention to the text. A level has two layers, and one more on the way up.
    private let attention: [Bool]
    /// The level whose downsampler becomes the dilated convolution of stride 4.
    public let dilatedLevel: Int
    /// The level that is pooled behind its first layer on the way down, and resized back behind its second on the way up.
    public let pooledLevel: Int
    /// The level whose self-attention runs in windows.
    public let windowLevel: Int
    /// The number of transformer blocks of each attention at that level that have windows: the first ones.
    public let windowedBlocks: Int

    /// Stable Diffusion 1.x and 2.x.
    static let stableDiffusion = HiDiffusionLayout(
        attention: [true, true, true, false], dilatedLevel: 0, pooledLevel: 1, windowLevel: 0, windowedBlocks: 1)
    /// SDXL.
    static let sdxl = HiDiffusionLayout(
        attention: [false, true, true], dilatedLevel: 1, pooledLevel: 1, windowLevel: 1, windowedBlocks: 2)
    private static let all = [stableDiffusion, sdxl]

    /// The number of shift ids in a call with window attention: two attentions on the way down and three on the way up.
    public var windowBlockCount: Int { 5 * windowedBlocks }

    /// The ratio of the latent's sides to the sides of the level with windows: its nominal level.
    public var windowScale: Int { 1 << windowLevel }

    /// Whether blocks behind the pooling of their own level have windows too.
    public var poolsWithinWindows: Bool { pooledLevel == windowLevel }

    /// The sides of a level's largest maps while RAU-Net is on. A pooled level has its largest maps before pooling.
    ///
    /// - Parameters:
    ///   - level: nominal: 1, 2, 4 and so on.
    ///   - height: of the U-Net's input, in latent points.
    ///   - rad: whether the dilated convolution is on.
    ///   - pool: whether pooling is on.
    public func largest(level: Int, height: Int, width: Int, rad: Bool, pool: Bool) -> (height: Int, width: Int) {
        let divisor = level * (rad && level > 1 << dilatedLevel ? 2 : 1) * (pool && level > 1 << pooledLevel ? 2 : 1)
        // Convolutions and pooling both round up.
        return ((height + divisor - 1) / divisor, (width + divisor - 1) / divisor)
    }
}

extension HiDiffusionLayout {
    /// The layout of a U-Net; nil if it has neither Stable Diffusion's nor SDXL's arrangement of blocks.
    ///
    /// - Parameters:
    ///   - down: whether each block on the way down has attention to the text.
    ///   - up: the same on the way up.
    ///   - layers: residual blocks of each level on the way down.
    public init?(down: [Bool], up: [Bool], layers: [Int]) {
        guard layers.allSatisfy({ $0 == 2 }),
            let own = Self.all.first(where: { $0.attention == down && $0.attention.reversed() == up })
        else { return nil }
        self = own
    }
}
