import Acceleration
import StrictJSON

/// A request for fewer tokens, resolved for a model: what is done at each level, and at which calls of the network.
public struct TokenReductionPlan: Sendable, Equatable {
    /// By nominal level; only levels that have blocks. The ratio of merging is that of the first call.
    let reductions: [Int: TokenReduction]
    /// Transformer blocks of the model by level.
    let blocks: [Int: Int]
    let finalRatio: Double?
    let start: Double
    let end: Double

    /// Blocks of fewer tokens are left alone while HiDiffusion makes feature maps smaller: there would be too few keys. Our
    /// rule; the references have none.
    static let leastTokensInHiDiffusion = 1024

    /// The calls that take part of `count`, counted from the first that is made: shares are multiplied as doubles and cut off.
    func activeCalls(of count: Int) -> Range<Int> { Int(Double(count) * start)..<Int(Double(count) * end) }

    /// What the U-Net does at one call.
    ///
    /// - Parameters:
    ///   - progress: the call, from 0, among those that are made.
    ///   - key: the picture's seed and the call's number, for the destinations that are hashed.
    ///   - corner: where the network's input lies on the canvas, in latent points.
    ///   - isShrunk: whether HiDiffusion makes feature maps smaller at this call.
    func tokens(
        _ progress: (step: Int, of: Int), key: (seed: UInt64, step: Int), corner: (row: Int, column: Int), isShrunk: Bool
    ) -> TokenPlan {
        let active = activeCalls(of: progress.of)
        guard active.contains(progress.step) else { return .none }
        let share = active.count > 1 ? Double(progress.step - active.lowerBound) / Double(active.count - 1) : 0
        return TokenPlan(
            reductions: reductions.mapValues { scheduled($0, share: share) },
            minimumTokens: isShrunk ? Self.leastTokensInHiDiffusion : 0, seed: key.seed, step: key.step,
            originRow: corner.row, originColumn: corner.column)
    }

    private func scheduled(_ reduction: TokenReduction, share: Double) -> TokenReduction {
        guard case .merging(var method) = reduction, let finalRatio else { return reduction }
        // Between the two whatever the rounding: the plan is checked against 0 and 1.
        method.ratio = min(1, max(0, method.ratio + (finalRatio - method.ratio) * share))
        return .merging(method)
    }
}

// MARK: - Resolving

extension TokenReductionPlan {
    /// What the network is given in some calls of a run.
    struct Input {
        /// In latent points.
        var height: Int
        var width: Int
        /// Whether HiDiffusion cuts self-attention into windows.
        var hasWindows: Bool
    }

    /// - Parameters:
    ///   - request: a valid one.
    ///   - calls: how many calls of the network the run makes.
    ///   - inputs: the network's inputs. Levels whose grids are too small in all of them are left out.
    /// - Returns: nil when the request asks for nothing: a ratio of 0, factors of 1.
    /// - Throws: `.invalidRequest` for settings that reach no block of the model, no token or no call of the run.
    init?(
        _ request: TokenReductionRequest, model: ModelDescription, calls: Int, inputs: [Input]
    ) throws(RenderError) {
        let resolution = TokenReductionResolution(model: model, inputs: inputs)
        let merging = try request.merging.map { request throws(RenderError) in
            request.isOff ? [:] : try resolution.merging(request)
        }
        let downsampling = try request.downsampling.map { request throws(RenderError) in
            request.isOff ? [:] : try resolution.downsampling(request)
        }
        let (merged, downsampled) = (merging ?? [:], downsampling ?? [:])
        if let level = merged.keys.filter({ downsampled[$0] != nil }).min() {
            throw RenderError(
                .invalidRequest,
                "Tokens of level \(level) would be both merged and downsampled: choose one of the two for each level, for example by "
                    + "--tome-levels, or by a factor of 1.")
        }
        reductions = merged.merging(downsampled) { first, _ in first }
        guard !reductions.isEmpty else { return nil }
        blocks = model.transformerBlocks
        finalRatio = merged.isEmpty ? nil : request.merging?.finalRatio
        (start, end) = (request.start, request.end)
        guard !activeCalls(of: calls).isEmpty else {
            throw RenderError(
                .invalidRequest,
                "Token steps from \(start) to \(end) hold none of the \(calls) calls of the network: choose a wider range.")
        }
    }
}

/// Finds the transformer blocks that a request means.
private struct TokenReductionResolution {
    let model: ModelDescription
    let inputs: [TokenReductionPlan.Input]

    private var levels: [Int] { model.transformerBlocks.keys.sorted() }

    /// Where blocks are, for messages.
    private var places: String {
        "\(model.name) has transformer blocks at level\(levels.count == 1 ? "" : "s") "
            + levels.map { "\($0) (\(model.transformerBlocks[$0] ?? 0))" }.joined(separator: ", ")
    }

    func merging(_ request: TokenReductionRequest.Merging) throws(RenderError) -> [Int: TokenReduction] {
        let wanted = request.levels ?? TokenPlan.levels.filter { $0 <= request.maximumDownsample ?? 1 }
        let found = wanted.filter { model.transformerBlocks[$0] != nil }
        // Levels that are named one by one must all be there.
        guard !found.isEmpty, request.levels == nil || found.count == wanted.count else {
            let what =
                request.levels == nil
                ? "up to level \(wanted.max() ?? 1)" : "at the levels \(wanted.map(String.init).joined(separator: ", "))"
            throw RenderError(
                .invalidRequest,
                "Token merging \(what) misses the blocks of the model: \(places), so choose --tome-max-downsample "
                    + "\(levels.first ?? 1) or more, or fitting levels.")
        }
        let method = TokenMerging(
            ratio: request.ratio, cellWidth: request.cellWidth, cellHeight: request.cellHeight,
            destinations: request.destinations, parts: request.parts, queriesOnly: request.queriesOnly)
        var highest = method
        highest.ratio = max(request.ratio, request.finalRatio ?? 0)
        let fitting = found.filter { level in grids(level: level, method.parts).contains { Self.merges(highest, $0) } }
        guard !fitting.isEmpty else {
            throw RenderError(
                .invalidRequest,
                "Token merging with cells of \(method.cellWidth)×\(method.cellHeight) and a ratio of \(request.ratio) merges no token of "
                    + "a picture this small: choose smaller cells, a higher ratio or a larger picture.")
        }
        return Dictionary(uniqueKeysWithValues: fitting.map { ($0, .merging(method)) })
    }

    /// Sides of the largest grids that some parts of a level's blocks work on, one for each input: each level halves the one
    /// before and rounds up, and windows, which only self-attention has, do so once more.
    private func grids(level: Int, _ parts: TokenMerging.Parts) -> [(height: Int, width: Int)] {
        inputs.map { input in
            let isCut = input.hasWindows && level == model.windowLevel && parts == .attention
            let divisor = isCut ? 2 * level : level
            return ((input.height + divisor - 1) / divisor, (input.width + divisor - 1) / divisor)
        }
    }

    /// Whether any token of a grid is merged.
    private static func merges(_ method: TokenMerging, _ grid: (height: Int, width: Int)) -> Bool {
        grid.height >= method.cellHeight && grid.width >= method.cellWidth
            && method.mergedCount(of: grid.height * grid.width) > 0
    }

    /// Whether any token of a grid is left out.
    private static func shortens(_ method: TokenDownsampling, _ grid: (height: Int, width: Int)) -> Bool {
        method.keptSide(grid.height) * method.keptSide(grid.width) < grid.height * grid.width
    }

    /// kohya's rules: factors count from the first level that has blocks, which is 2 for SDXL, and each level has sides half as
    /// long as the one before.
    func downsampling(_ request: TokenReductionRequest.Downsampling) throws(RenderError) -> [Int: TokenReduction] {
        let first = levels.first ?? 1
        let depth = request.maximumDepth ?? request.factors.count
        let possible = TokenPlan.levels.filter { $0 >= first && $0 <= levels.last ?? 1 }
        guard depth <= possible.count else {
            throw RenderError(
                .invalidRequest,
                "A token downsampling depth of \(depth) is more than the model has levels: \(places), so choose a depth of at most "
                    + "\(possible.count).")
        }
        let factors = request.factors.count == 1 ? Array(repeating: request.factors[0], count: depth) : request.factors
        var found: [Int: TokenReduction] = [:]
        for (level, factor) in zip(possible, factors) where factor > 1 && model.transformerBlocks[level] != nil {
            let method = TokenDownsampling(factor: factor, interpolation: request.interpolation, scope: request.scope)
            // A grid of one token cannot become smaller.
            if grids(level: level, .attention).contains(where: { Self.shortens(method, $0) }) {
                found[level] = .downsampling(method)
            }
        }
        guard !found.isEmpty else {
            throw RenderError(
                .invalidRequest,
                "Token downsampling misses the blocks of the model: \(places), so give those levels a factor above 1.")
        }
        return found
    }
}

// MARK: - Telling

extension TokenReductionPlan {
    private var sorted: [(level: Int, reduction: TokenReduction)] {
        reductions.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private var downsampled: [(level: Int, method: TokenDownsampling)] {
        sorted.compactMap { level, reduction in
            if case .downsampling(let method) = reduction { (level, method) } else { nil }
        }
    }

    private var merged: [(level: Int, method: TokenMerging)] {
        sorted.compactMap { level, reduction in if case .merging(let method) = reduction { (level, method) } else { nil } }
    }

    private func count(_ levels: [Int]) -> String {
        let active = levels.reduce(0) { $0 + (blocks[$1] ?? 0) }
        return "\(active) of \(blocks.values.reduce(0, +)) transformer blocks"
    }

    /// For people.
    ///
    /// - Parameter calls: calls of the network that the run makes.
    func summaryLines(calls: Int) -> [String] {
        let active = activeCalls(of: calls)
        let range = active.count == calls ? "" : ", calls \(active.lowerBound + 1) to \(active.upperBound) of \(calls)"
        var lines: [String] = []
        if let method = merged.first?.method {
            let ratio = finalRatio.map { "\(Self.short(method.ratio)) to \(Self.short($0))" } ?? Self.short(method.ratio)
            let levels = merged.map { String($0.level) }.joined(separator: ", ")
            lines.append(
                "token merging (ToMe): \(ratio) of the tokens at level \(levels), \(count(merged.map(\.level))), "
                    + (method.queriesOnly ? "queries only" : method.parts.names.joined(separator: " and ")) + range)
        }
        if !downsampled.isEmpty {
            let levels = downsampled.map { "\(Self.short($0.method.factor)) at level \($0.level)" }.joined(separator: ", ")
            lines.append("token downsampling (ToDo): by \(levels), \(count(downsampled.map(\.level)))\(range)")
        }
        return lines
    }

    /// For programs: what each level does, and on how many blocks.
    func json(calls: Int) -> JSONValue {
        let active = activeCalls(of: calls)
        let levels = sorted.map { level, reduction in
            var object = JSONObject()
            object["level"] = .integer(Int64(level))
            object["blocks"] = .integer(Int64(blocks[level] ?? 0))
            for (key, value) in reduction.fields { object[key] = value }
            return JSONValue.object(object)
        }
        var object = JSONObject()
        object["levels"] = .array(levels)
        object["final_ratio"] = finalRatio.map { .number($0) }
        object["blocks"] = .integer(Int64(blocks.values.reduce(0, +)))
        object["first_call"] = .integer(Int64(active.lowerBound))
        object["end_call"] = .integer(Int64(active.upperBound))
        return .object(object)
    }

    /// The picture's parameters: A1111's key for merging, those of its extension for downsampling, and ours for what they have
    /// no key for where it is not the usual.
    var parameters: [(String, String)] {
        var pairs: [(String, String)] = []
        if let method = merged.first?.method {
            pairs.append(("Token merging ratio", Self.short(method.ratio)))
            if let finalRatio { pairs.append(("ToMe final ratio", Self.short(finalRatio))) }
            let usual = TokenMerging(ratio: method.ratio)
            if merged.map(\.level) != [1] {
                pairs.append(("ToMe levels", merged.map { String($0.level) }.joined(separator: " ")))
            }
            if (method.cellWidth, method.cellHeight) != (usual.cellWidth, usual.cellHeight) {
                pairs.append(("ToMe cells", "\(method.cellWidth)x\(method.cellHeight)"))
            }
            if method.parts != usual.parts { pairs.append(("ToMe layers", method.parts.names.joined(separator: " "))) }
            if method.destinations != usual.destinations { pairs.append(("ToMe destinations", method.destinations.rawValue)) }
            if method.queriesOnly { pairs.append(("ToMe queries", "only")) }
        }
        if let deepest = downsampled.last {
            let factors = factors(to: deepest.level)
            pairs.append(("ToDo factor", factors.map(Self.short).joined(separator: " ")))
            pairs.append(("ToDo max depth", String(factors.count)))
            if deepest.method.interpolation != .nearestExact {
                pairs.append(("ToDo method", deepest.method.interpolation.rawValue))
            }
            if deepest.method.scope != .keysAndValues { pairs.append(("ToDo scope", deepest.method.scope.rawValue)) }
            if end < 1 { pairs.append(("ToDo disable after", Self.short(end))) }
        }
        if start > 0 || end < 1 { pairs.append(("Token steps", "\(Self.short(start))-\(Self.short(end))")) }
        return pairs
    }

    /// As the extension reads them: one for each level from the model's first with blocks on, 1 where nothing is downsampled.
    private func factors(to deepest: Int) -> [Double] {
        let first = blocks.keys.min() ?? 1
        return TokenPlan.levels.filter { $0 >= first && $0 <= deepest }.map { level in
            downsampled.first { $0.level == level }?.method.factor ?? 1
        }
    }

    private static func short(_ value: Double) -> String { value == value.rounded() ? String(Int(value)) : String(value) }
}
