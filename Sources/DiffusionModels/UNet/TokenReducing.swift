import Acceleration
import TensorCore

/// A feature map as tokens: its sides, and the number of latent points along one side of a token.
struct TokenGrid {
    var height: Int
    var width: Int
    /// 1, 2, 4 or 8 in the network as it was trained; more if HiDiffusion has made the map smaller.
    var scale: Int

    var count: Int { height * width }
}

/// The place of a transformer block in its network. It never changes.
struct BlockPlace {
    /// The ratio of the latent's sides to those of the block's grid, in the network as it was trained: 1, 2, 4, 8.
    let level: Int
    /// The place among all transformer blocks, in execution order.
    let index: Int
    /// The place among the blocks whose self-attention may run in windows; nil for all others.
    let windowIndex: Int?
}

/// The way in which one call of self-attention reduces its tokens.
enum TokenReducer {
    case none
    /// Keys and values come from the kept tokens. With an enlargement queries do too, and each token gets the result of the
    /// kept token that stands for it.
    case downsampled(kept: [Int32], enlargement: [Int32]?)
    case merged(TokenGroups, queriesOnly: Bool)
}

/// One block's groups of tokens and the parts of the block that use them.
struct SharedGroups {
    let parts: TokenMerging.Parts
    let groups: TokenGroups

    /// The groups, for a part that uses them.
    subscript(_ part: TokenMerging.Parts) -> TokenGroups? { parts.contains(part) ? groups : nil }

    /// The reducer for self-attention.
    var reducer: TokenReducer { self[.attention].map { .merged($0, queriesOnly: false) } ?? .none }
}

/// The chosen destinations of the switches during one call of the network.
final class ChosenDestinations {
    private let byBlock: [Int: [Int]]
    /// One sentence that says why they do not fit the call; nil as long as they do.
    private(set) var problem: String?

    init(_ byBlock: [Int: [Int]]) { self.byBlock = byBlock }

    /// One choice for each cell; nil for a block that is not named.
    func choices(block: Int, cells: MergeCells) -> [Int]? {
        guard let given = byBlock[block] else { return nil }
        guard given.count == cells.count, given.allSatisfy({ (0..<cells.cellTokens).contains($0) }) else {
            problem =
                problem
                ?? "Transformer block \(block) merges tokens in \(cells.count) cells of \(cells.cellTokens); the "
                + "\(given.count) given choices do not fit."
            return nil
        }
        return given
    }
}

extension TokenReduction {
    /// Whether tokens are compared by the block's input.
    var comparesInput: Bool {
        if case .merging(let method) = self { !method.queriesOnly } else { false }
    }
}

extension WindowGeometry {
    /// One window of a grid.
    func grid(of whole: TokenGrid) -> TokenGrid {
        TokenGrid(height: (height + 1) / 2, width: (width + 1) / 2, scale: whole.scale)
    }
}

extension UNetCall {
    /// Prepares self-attention over a grid or over the windows of a grid. In the second case `metric` holds the windows'
    /// tokens.
    ///
    /// - Parameter metric: the vectors that tokens are compared by, (n, tokens, channels).
    func reducer(
        _ reduction: TokenReduction?, at place: BlockPlace, grid: TokenGrid, metric: Tensor, inWindows: Bool
    ) -> TokenReducer {
        switch reduction {
        case nil: return .none
        case .downsampling(let method):
            let isAll = method.scope == .all
            return .downsampled(
                kept: method.keptTokens(height: grid.height, width: grid.width),
                enlargement: isAll ? method.enlargement(height: grid.height, width: grid.width) : nil)
        case .merging(let method):
            guard method.parts.contains(.attention),
                let groups = groups(method, at: place, grid: grid, metric: metric, inWindows: inWindows)
            else { return .none }
            return .merged(groups, queriesOnly: method.queriesOnly)
        }
    }

    /// Matches the tokens of a grid; nil if nothing can merge: no cell fits the grid, or a cell is a single token.
    func groups(
        _ method: TokenMerging, at place: BlockPlace, grid: TokenGrid, metric: Tensor, inWindows: Bool
    ) -> TokenGroups? {
        let cells = MergeCells(
            height: grid.height, width: grid.width, cellHeight: method.cellHeight, cellWidth: method.cellWidth)
        let count = method.mergedCount(of: grid.count)
        guard count > 0, cells.count > 0, cells.cellTokens > 1 else { return nil }
        let (sources, destinations) = cells.split(choices(method, at: place, cells: cells, scale: inWindows ? nil : grid.scale))
        let (scores, best) = context.bestMatches(metric, sources: sources, destinations: destinations)
        return TokenGroups(merging: count, sources: sources, destinations: destinations, scores: scores, best: best)
    }

    /// - Parameter scale: latent points along a token's side; nil inside windows, where the place on the canvas does not
    ///   count.
    private func choices(_ method: TokenMerging, at place: BlockPlace, cells: MergeCells, scale: Int?) -> [Int] {
        if let given = chosen.choices(block: place.index, cells: cells) { return given }
        switch method.destinations {
        case .fixed: return cells.fixedChoices
        case .random:
            return cells.hashedChoices(
                seed: tokens.seed, call: tokens.call, block: place.index,
                originRow: scale.map { tokens.originRow / $0 } ?? 0, originColumn: scale.map { tokens.originColumn / $0 } ?? 0)
        }
    }

    /// `residual` plus the result of one part of a block for `x`. If there are groups, the part runs on their means.
    ///
    /// - Parameter part: adds the residual it receives.
    func merging(
        _ x: Tensor, _ groups: TokenGroups?, residual: Tensor,
        _ part: (_ x: Tensor, _ residual: Tensor?) throws(ComputeError) -> Tensor
    ) throws(ComputeError) -> Tensor {
        guard let groups else { return try part(x, residual) }
        return context.add(residual, unmerge(try part(merge(x, groups), nil), groups))
    }

    /// The means of the groups, (n, groups, channels).
    func merge(_ x: Tensor, _ groups: TokenGroups) -> Tensor {
        context.averageTokens(x, offsets: groups.offsets, members: groups.members)
    }

    /// Gives every token its group's row, (n, tokens, channels).
    func unmerge(_ x: Tensor, _ groups: TokenGroups) -> Tensor {
        context.gatherTokens(x, groups.groupOfToken, perImage: true)
    }
}

extension AttentionLayer {
    /// Self-attention on the tokens that the reducer leaves.
    ///
    /// - Parameter residual: added to the result; nil adds nothing.
    func attendToItself(
        _ x: Tensor, residual: Tensor?, _ reducer: TokenReducer, _ call: UNetCall
    ) throws(ComputeError) -> Tensor {
        let context = call.context
        switch reducer {
        case .none:
            return try self(x, source: x, residual: residual, context)
        case .downsampled(let kept, nil):
            return try self(x, source: context.gatherTokens(x, kept), residual: residual, context)
        case .downsampled(let kept, let enlargement?):
            let few = context.gatherTokens(x, kept)
            let attended = try self(few, source: few, residual: nil, context)
            return context.sum(context.gatherTokens(attended, enlargement), residual)
        case .merged(let groups, let queriesOnly):
            let few = call.merge(x, groups)
            let attended = try self(few, source: queriesOnly ? x : few, residual: nil, context)
            return context.sum(call.unmerge(attended, groups), residual)
        }
    }
}

extension ComputeContext {
    /// `x`, plus `residual` if there is one.
    func sum(_ x: Tensor, _ residual: Tensor?) -> Tensor { residual.map { add($0, x) } ?? x }
}
