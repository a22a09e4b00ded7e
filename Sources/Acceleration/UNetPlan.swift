/// What is switched on inside one U-Net call: the resolved decisions of that call about HiDiffusion and about fewer tokens,
/// never the rules behind them.
///
/// A worker that is handed a plan needs no step counter and no history, so any worker, in any order and after any retry,
/// computes the same bytes.
public struct UNetPlan: Sendable, Equatable {
    /// The family's dilated down-sampling convolution runs with stride 4, padding 2 and dilation 2 (HiDiffusion's RAD).
    public var rad: Bool
    /// The family's deep block is average-pooled on the way down and resized back on the way up (HiDiffusion's pooling RAU).
    public var pool: Bool
    /// Window attention (MSW-MSA): one shift id `0...3` for each window block in execution order; `nil` switches it off.
    ///
    /// Id `k` rolls a feature map with windows of `w0 × w1` by `((w0/4)·k, (w1/4)·k)` (integer divisions) before the windows
    /// are cut, where `w0` and `w1` are half the map's sides, rounded up. The map is rolled only if the row shift is above
    /// zero.
    public var windowShifts: [UInt8]?
    /// Where and how transformer blocks work on fewer tokens (ToMe, ToDo).
    public var tokens: TokenPlan

    /// A plan from its decisions.
    public init(rad: Bool = false, pool: Bool = false, windowShifts: [UInt8]? = nil, tokens: TokenPlan = .none) {
        self.rad = rad
        self.pool = pool
        self.windowShifts = windowShifts
        self.tokens = tokens
    }

    /// The U-Net as it was trained: nothing switched on.
    public static let plain = UNetPlan()

    /// Whether nothing is switched on.
    public var isPlain: Bool { self == .plain }
}
