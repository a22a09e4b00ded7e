/// HiDiffusion's rules for a ControlNet beside SDXL's U-Net (`hidiffusion.py` of 0.1.10): it runs on a latent near its native
/// size, and only in the first steps. Nothing here runs a ControlNet yet; these are only the decisions.
public enum HiDiffusionControl {
    /// The longer side, in latent points, that a ControlNet was trained at.
    static let nativeSide = 128.0

    /// The size at which the ControlNet runs beside a U-Net with an input of `height × width` latent points: the longer side
    /// 128, the other one in proportion, both rounded down to multiples of eight. Its input is resized to this size by
    /// nearest points. Its outputs are resized to the sizes of the skips by cubics. Smaller inputs are enlarged.
    ///
    /// Both must be positive. A side that would become zero is eight long; the reference fails there.
    public static func size(height: Int, width: Int) -> (height: Int, width: Int) {
        precondition(height > 0 && width > 0)
        let factor = max(Double(height) / nativeSide, Double(width) / nativeSide)
        func side(_ length: Int) -> Int { max(8, Int((Double(length) / factor).rounded(.down)) / 8 * 8) }
        return (side(height), side(width))
    }

    /// Whether the ControlNet takes part in step `step`, from 0, of `steps` steps that are made: in the first six tenths.
    public static func takesPart(step: Int, of steps: Int) -> Bool { Double(step) < 0.6 * Double(steps) }
}
