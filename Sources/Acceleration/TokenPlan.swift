/// What makes a transformer block's tokens fewer.
public enum TokenReduction: Sendable, Equatable {
    case downsampling(TokenDownsampling)
    case merging(TokenMerging)
}

/// Which transformer blocks of one U-Net call work on fewer tokens, and how: resolved decisions, never the rules behind them.
///
/// A level is nominal: how many times shorter the sides of a block's grid are than the latent's in the network as it was
/// trained. It does not change when HiDiffusion makes the grid smaller.
public struct TokenPlan: Sendable, Equatable {
    /// The levels of Stable Diffusion's blocks.
    public static let levels = [1, 2, 4, 8]

    /// What is done at each level; nothing at those that are not named.
    public var reductions: [Int: TokenReduction]
    /// Blocks whose grid has fewer tokens are left alone.
    public var minimumTokens: Int
    /// What the choice of destinations is hashed from, with the block's own number.
    public var seed: UInt64
    public var step: Int
    /// Where the input's first row and column lie on the canvas, in latent points: views that overlap choose the same
    /// destinations where that is a multiple of cell side times level. Inside windows a cell's place in its window counts.
    public var originRow: Int
    public var originColumn: Int

    /// The largest numbers that a plan holds: of steps, and of rows, columns and tokens.
    public static let stepLimit = 1_000_000
    public static let originLimit = 1 << 19
    public static let minimumLimit = 1 << 24

    /// A plan from its decisions.
    public init(
        reductions: [Int: TokenReduction] = [:], minimumTokens: Int = 0, seed: UInt64 = 0, step: Int = 0, originRow: Int = 0,
        originColumn: Int = 0
    ) {
        (self.reductions, self.minimumTokens) = (reductions, minimumTokens)
        (self.seed, self.step, self.originRow, self.originColumn) = (seed, step, originRow, originColumn)
    }

    /// Every token stays.
    public static let none = TokenPlan()

    /// What is done in a block of a level whose grid has `tokens` tokens; nil for nothing.
    public func reduction(level: Int, tokens: Int) -> TokenReduction? {
        guard tokens >= minimumTokens, let reduction = reductions[level] else { return nil }
        switch reduction {
        case .downsampling(let method): return method.factor == 1 ? nil : reduction
        case .merging(let method): return method.mergedCount(of: tokens) > 0 && !method.parts.isEmpty ? reduction : nil
        }
    }

    /// What is wrong with it, in one sentence; nil when it can be computed.
    public var problem: String? {
        if let level = reductions.keys.first(where: { !Self.levels.contains($0) }) {
            return "There are blocks at the levels 1, 2, 4 and 8, not at \(level)."
        }
        guard (0...Self.minimumLimit).contains(minimumTokens), (0...Self.stepLimit).contains(step),
            (0...Self.originLimit).contains(originRow), (0...Self.originLimit).contains(originColumn)
        else { return "A plan for fewer tokens has a least number, a step or an origin out of range." }
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
