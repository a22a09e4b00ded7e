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
