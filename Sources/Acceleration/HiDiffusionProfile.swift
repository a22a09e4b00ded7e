/// The published settings of HiDiffusion that a model takes. The caller always names them; nothing guesses them from a path.
public enum HiDiffusionProfile: String, Sendable, CaseIterable {
    /// Stable Diffusion 1.x and 2.x.
    case sd15
    /// SDXL and its fine-tunes.
    case sdxl
    /// SDXL inpainting; it never has the aggressive start.
    case sdxlInpainting = "sdxl_inpainting"
    /// Playground v2; it never has the aggressive start.
    case sdxlPlayground = "sdxl_playground"
    /// SDXL-Turbo.
    case sdxlTurbo = "sdxl_turbo"

    /// The places where HiDiffusion acts in this profile's U-Net.
    public var layout: HiDiffusionLayout { self == .sd15 ? .stableDiffusion : .sdxl }

    /// The latent side from which on the thresholds for very large pictures hold: 2048 px for Stable Diffusion, 4096 for
    /// SDXL. That is four times the side of the families' first models, 512 and 1024 px.
    fileprivate var largeSide: Int { self == .sd15 ? 256 : 512 }
}

/// The switches of RAU-Net in one U-Net call.
///
/// They are a pure function of profile, input size, number of steps and step (HiDiffusion, Zhang et al. 2023; `hidiffusion.py`
/// of 0.1.10). The reference counts calls instead, which goes wrong as soon as a step has several calls.
public struct RAUNetSwitches: Sendable, Equatable {
    /// The dilated down-sampling with stride 4.
    public let rad: Bool
    /// Pooling on the way down, bicubic resizing on the way up.
    public let pool: Bool

    /// Nothing on.
    public static let plain = RAUNetSwitches(rad: false, pool: false)

    /// Sets the two switches.
    public init(rad: Bool, pool: Bool) { (self.rad, self.pool) = (rad, pool) }

    /// The switches at step `step` (from 0) of `steps`, for a U-Net input of `height × width` latent points.
    ///
    /// There is no lower size limit, as in the reference; see `HiDiffusionGuard`.
    ///
    /// - Parameters:
    ///   - settings: thresholds other than the published ones.
    ///   - native: the latent side that the model was trained at. If it is smaller than the profile's, the thresholds for very
    ///     large pictures hold from four times this side on, as they do for the profile. nil takes the reference's fixed size.
    public init(
        profile: HiDiffusionProfile, height: Int, width: Int, steps: Int, step: Int,
        settings: HiDiffusionSettings = .published, native: Int? = nil
    ) {
        let side = native.map { min(profile.largeSide, 4 * $0) } ?? profile.largeSide
        let isLarge = height >= side && width >= side
        // The ratio tables of the reference's module.
        let published = profile == .sdxlTurbo ? (t1: 0.5, t2: 0) : isLarge ? (t1: 0.7, t2: 0.3) : (t1: 0.4, t2: 0)
        let (t1, t2) = (settings.t1 ?? published.t1, settings.t2 ?? published.t2)
        let aggressive = profile == .sdxl && !isLarge ? settings.aggressive ?? 8.0 / 50.0 : 0
        func before(_ ratio: Double) -> Bool { settings.raunet && step < Self.threshold(steps, ratio) }
        switch profile {
        case .sd15: self.init(rad: before(t1), pool: before(t2))
        case .sdxlTurbo: self.init(rad: false, pool: before(t1))
        case .sdxl, .sdxlInpainting, .sdxlPlayground:
            if aggressive > 0 {
                // First the dilated convolution alone, then pooling alone.
                let rad = before(aggressive)
                self.init(rad: rad, pool: !rad && before(t1))
            } else {
                self.init(rad: before(t2), pool: before(t1))
            }
        }
    }

    /// `Int(Double(steps) · ratio)`: a product of doubles, rounded down. Exact arithmetic gives one more for 0.7 of 90 steps.
    static func threshold(_ steps: Int, _ ratio: Double) -> Int { Int(Double(steps) * ratio) }
}

/// Keeps HiDiffusion away from inputs near the native size. There it would halve the features the model was trained on.
public enum HiDiffusionGuard {
    /// Whether the shorter side of an input of `height × width` latent points is 1.5 times `native` or more. This is our
    /// rule; the reference has none.
    public static func allows(height: Int, width: Int, native: Int) -> Bool {
        2 * min(height, width) >= 3 * native
    }
}
