/// The halves of HiDiffusion that are on, and RAU-Net's thresholds if they differ from the published ones.
public struct HiDiffusionSettings: Sendable, Equatable {
    /// RAU-Net: in the first steps, deep features have the size that the model was trained on.
    public var raunet = true
    /// MSW-MSA: self-attention of the largest feature maps in shifted windows.
    public var windows = true
    /// The share of the steps, 0 to 1, of the profile's main operator: dilated down-sampling for Stable Diffusion, pooling for
    /// SDXL. nil is the published one.
    public var t1: Double?
    /// The share of the steps of the other operator, 0 to 1. nil is the published one.
    public var t2: Double?
    /// SDXL below 4096 px: the share of the steps, 0 to 1, in which dilated down-sampling replaces pooling; 0 for none. nil
    /// is the published 8/50.
    public var aggressive: Double?

    /// Both halves, thresholds as in the reference package.
    public static let published = HiDiffusionSettings()

    public init() {}
}

/// The shares of the steps during which the parts of RAU-Net are on (`hidiffusion.py` of 0.1.10, the module's ratio tables).
struct HiDiffusionThresholds {
    let t1: Double
    let t2: Double
    /// 0 if the profile has no aggressive start.
    let aggressive: Double

    /// - Parameter isLarge: whether to take the thresholds for four times the native size and more.
    init(_ profile: HiDiffusionProfile, isLarge: Bool, _ settings: HiDiffusionSettings) {
        let published: (t1: Double, t2: Double) =
            switch (profile, isLarge) {
            case (.sdxlTurbo, _): (0.5, 0)
            case (_, false): (0.4, 0)
            case (_, true): (0.7, 0.3)
            }
        t1 = settings.t1 ?? published.t1
        t2 = settings.t2 ?? published.t2
        aggressive = profile == .sdxl && !isLarge ? settings.aggressive ?? 8.0 / 50.0 : 0
    }
}

extension HiDiffusionProfile {
    /// The latent side from which on the thresholds for very large pictures hold: 2048 px for Stable Diffusion, 4096 for
    /// SDXL.
    var largeSide: Int { self == .sd15 ? 256 : 512 }
}
