/// The switches inside one U-Net call: its resolved decisions about HiDiffusion and about fewer tokens, never the rules
/// behind them.
///
/// A worker needs neither a step counter nor a history. So any worker computes the same bytes, in any order and after any
/// retry.
public struct UNetSwitches: Sendable, Equatable {
    /// Whether the profile's dilated down-sampling convolution runs with stride 4, padding 2 and dilation 2 (HiDiffusion's
    /// RAD).
    public var rad: Bool
    /// Whether the profile's deep block is average-pooled on the way down and resized back on the way up (HiDiffusion's
    /// pooling RAU).
    public var pool: Bool
    /// Window attention (MSW-MSA): one shift id `0...3` for each window block in execution order; `nil` switches it off.
    ///
    /// Id `k` rolls a feature map with windows of `w0 × w1` by `((w0/4)·k, (w1/4)·k)` (integer divisions) before the cut into
    /// windows. `w0` and `w1` are half the map's sides, rounded up. The map is rolled only if the row shift is above zero.
    public var windowShifts: [UInt8]?
    /// The transformer blocks that work on fewer tokens, and how (ToMe, ToDo).
    public var tokens: TokenSwitches

    /// Sets all switches.
    public init(rad: Bool = false, pool: Bool = false, windowShifts: [UInt8]? = nil, tokens: TokenSwitches = .none) {
        (self.rad, self.pool, self.windowShifts, self.tokens) = (rad, pool, windowShifts, tokens)
    }

    /// The U-Net as it was trained, with everything off.
    public static let plain = UNetSwitches()
}
