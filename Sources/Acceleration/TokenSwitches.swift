/// A way to reduce a transformer block's tokens.
public enum TokenReduction: Sendable, Equatable {
    case downsampling(TokenDownsampling)
    case merging(TokenMerging)
}

/// The transformer blocks of one U-Net call that work on fewer tokens, and how they do it. These are resolved decisions,
/// never the rules behind them.
///
/// A level is nominal: it is the ratio of the latent's sides to those of a block's grid, in the network as it was trained. It
/// does not change when HiDiffusion makes the grid smaller.
public struct TokenSwitches: Sendable, Equatable {
    /// The levels of Stable Diffusion's blocks.
    public static let levels = [1, 2, 4, 8]

    /// The reduction at each level. Levels without an entry keep all tokens.
    public var reductions: [Int: TokenReduction]
    /// The fewest tokens that are reduced. Blocks whose grid has fewer tokens keep them all.
    public var minimumTokens: Int
    /// The destinations are hashed from seed and call, with the block's own number.
    public var seed: UInt64
    public var call: Int
    /// The place of the input's first row and column on the canvas, in latent points. Overlapping views choose the same
    /// destinations if this is a multiple of the cell's side times the level. Inside windows, a cell's place in its window
    /// decides.
    public var originRow: Int
    public var originColumn: Int
    /// Destinations that replace hashed and fixed ones. The key is a transformer block's place in execution order; the list has
    /// the destination's place within each cell. Only a recorded run has them.
    public var chosen: [Int: [Int]] = [:]

    /// The largest values: of the call, of the origin, and of the minimum.
    public static let callLimit = 1_000_000
    public static let originLimit = 1 << 19
    public static let minimumLimit = 1 << 24

    /// Sets all decisions.
    public init(
        reductions: [Int: TokenReduction] = [:], minimumTokens: Int = 0, seed: UInt64 = 0, call: Int = 0, originRow: Int = 0,
        originColumn: Int = 0
    ) {
        (self.reductions, self.minimumTokens) = (reductions, minimumTokens)
        (self.seed, self.call, self.originRow, self.originColumn) = (seed, call, originRow, originColumn)
    }

    /// Every token stays.
    public static let none = TokenSwitches()

    /// Whether tokens are merged at some level.
    public var isMerging: Bool { reductions.values.contains { if case .merging = $0 { true } else { false } } }

    /// The reduction of a block at a level with `tokens` tokens; nil for none.
    public func reduction(level: Int, tokens: Int) -> TokenReduction? {
        guard tokens >= minimumTokens, let reduction = reductions[level] else { return nil }
        switch reduction {
        case .downsampling(let method): return method.factor == 1 ? nil : reduction
        case .merging(let method): return method.mergedCount(of: tokens) > 0 && !method.parts.isEmpty ? reduction : nil
        }
    }

    /// The first fault in one sentence; nil if there is none.
    public var problem: String? {
        if let level = reductions.keys.first(where: { !Self.levels.contains($0) }) {
            return "There are blocks at the levels 1, 2, 4 and 8, not at \(level)."
        }
        guard (0...Self.minimumLimit).contains(minimumTokens), (0...Self.callLimit).contains(call),
            (0...Self.originLimit).contains(originRow), (0...Self.originLimit).contains(originColumn)
        else { return "The switches for fewer tokens have a minimum of tokens, a call or an origin that is out of range." }
        return reductions.sorted { $0.key < $1.key }.lazy.compactMap { Self.problem($0.value) }.first
    }

    private static func problem(_ reduction: TokenReduction) -> String? {
        switch reduction {
        case .downsampling(let method):
            guard (1...TokenDownsampling.factorLimit).contains(method.factor) else {
                return "Tokens are downsampled by 1 to \(Int(TokenDownsampling.factorLimit)), not by \(method.factor)."
            }
        case .merging(let method):
            guard (0...1).contains(method.ratio) else {
                return "A ratio of 0 to 1 of the tokens is merged, not \(method.ratio)."
            }
            let sides = 1...TokenMerging.cellLimit
            guard sides.contains(method.cellWidth), sides.contains(method.cellHeight) else {
                return "Cells of merged tokens have sides of 1 to \(TokenMerging.cellLimit), not "
                    + "\(method.cellWidth)×\(method.cellHeight)."
            }
            guard !method.queriesOnly || method.parts == .attention else {
                return "Queries alone can be merged in self-attention only."
            }
        }
        return nil
    }
}
