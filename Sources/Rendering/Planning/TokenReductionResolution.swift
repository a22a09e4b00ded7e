import Acceleration
import DiffusionModels
import Sentences
import StrictJSON

extension ResolvedTokenReduction {
    /// - Parameters:
    ///   - request: a valid one.
    ///   - passes: a level is left out if its grids are too small in all their calls.
    /// - Returns: nil for a ratio of 0 or factors of 1.
    /// - Throws: `.invalidRequest` for settings that reach no block, no token or no call.
    init?(
        _ request: TokenReductionRequest, model: ModelDescription, passes: [RenderPass]
    ) throws(RenderError) {
        let ofLater: Setting? =
            if request.stages == .later { .tokenStages } else if request.merging?.laterRatio != nil { .tomeHiresRatio } else {
                nil
            }
        if passes.count == 1, let ofLater {
            throw .invalidRequest(
                "\(ofLater) needs a later stage, but this picture has one stage: leave it out, or choose a method with stages.",
                about: ofLater)
        }
        activeCalls = passes.map { request.activeCalls(of: $0) }
        let resolution = TokenReductionResolution(
            request: request, model: model, calls: zip(passes, activeCalls).flatMap { $0.schedule[$1] })
        try resolution.checkCalls()
        let merging = try request.merging.map { request throws(RenderError) in
            request.isOff ? .nothing : try resolution.merging(request)
        }
        let downsampling = try request.downsampling.map { request throws(RenderError) in
            request.isOff ? .nothing : try resolution.downsampling(request)
        }
        let (merged, downsampled) = (merging?.reductions ?? [:], downsampling?.reductions ?? [:])
        if let level = merged.keys.filter({ downsampled[$0] != nil }).min() {
            throw .invalidRequest(
                "Tokens of level \(level) would be both merged and downsampled: choose one of the two for each level, for "
                    + "example by \(.tomeLevels), or by a factor of 1.", about: .tomeRatio, .todoFactor)
        }
        reductions = merged.merging(downsampled) { first, _ in first }
        guard !reductions.isEmpty else { return nil }
        blocks = model.transformerBlocks
        idleLevels = ((merging?.idleLevels ?? []) + (downsampling?.idleLevels ?? [])).sorted()
        finalRatio = merged.isEmpty ? nil : request.merging?.finalRatio
        laterRatio = merged.isEmpty ? nil : request.merging?.laterRatio
        (start, end, stages) = (request.start, request.end, request.stages)
    }
}

extension TokenReductionRequest {
    /// The calls of a pass that take part, as positions in its schedule. Products are rounded down.
    fileprivate func activeCalls(of pass: RenderPass) -> Range<Int> {
        let count = Double(pass.schedule.count)
        return stages == .later && pass.index == 0 ? 0..<0 : Int(count * start)..<Int(count * end)
    }
}

/// Finds the levels at which a request reaches transformer blocks.
private struct TokenReductionResolution {
    struct Found {
        var reductions: [Int: TokenReduction]
        /// Requested levels with blocks, but too few tokens in all calls.
        var idleLevels: [Int]

        static let nothing = Found(reductions: [:], idleLevels: [])
    }

    let request: TokenReductionRequest
    let model: ModelDescription
    /// The calls that take part.
    let calls: [PlannedCall]

    /// The range of steps must hold calls, and calls of a later stage if the request is for these.
    func checkCalls() throws(RenderError) {
        let needsLater = request.stages == .later || request.merging?.laterRatio != nil
        guard !request.isOff, calls.isEmpty || needsLater && !calls.contains(where: \.isLater) else { return }
        throw .invalidRequest(
            "Token steps from \(request.start) to \(request.end) hold no call of "
                + "\(needsLater ? "a later stage" : "the network"): choose a wider range.", about: .tokenSteps)
    }

    private var levels: [Int] { model.transformerBlocks.keys.sorted() }

    /// The levels with blocks, for messages.
    private var places: String {
        "\(model.name) has transformer blocks at level\(levels.count == 1 ? "" : "s") "
            + levels.map { "\($0) (\(model.transformerBlocks[$0] ?? 0))" }.joined(separator: ", ")
    }

    func merging(_ request: TokenReductionRequest.Merging) throws(RenderError) -> Found {
        let wanted = request.levels ?? TokenSwitches.levels.filter { $0 <= request.deepestLevel }
        let levelsWithBlocks = wanted.filter { model.transformerBlocks[$0] != nil }
        // All levels of a list must have blocks.
        guard !levelsWithBlocks.isEmpty, request.levels == nil || levelsWithBlocks.count == wanted.count else {
            let what =
                request.levels == nil
                ? "up to level \(wanted.max() ?? 1)" : "at the levels \(wanted.map(String.init).joined(separator: ", "))"
            throw .invalidRequest(
                "Token merging \(what) finds no blocks there: \(places), so choose \(.tomeMaxDownsample) \(levels.first ?? 1) "
                    + "or more, or levels with blocks.", about: request.levels == nil ? .tomeMaxDownsample : .tomeLevels)
        }
        let method = TokenMerging(
            ratio: request.ratio, cellWidth: request.cellWidth, cellHeight: request.cellHeight,
            destinations: request.destinations, parts: request.parts, queriesOnly: request.queriesOnly)
        let found = try reached(levelsWithBlocks.map { ($0, .merging(method)) }, "Token merging", .tomeRatio)
        guard !found.reductions.isEmpty else {
            throw .invalidRequest(
                "Token merging with cells of \(method.cellWidth)×\(method.cellHeight) and a ratio of \(request.highestRatio) "
                    + "merges no token, because the picture is too small: choose smaller cells, a higher ratio or a larger "
                    + "picture.", about: .tomeRatio, .tomeSx, .tomeSy)
        }
        return found
    }

    /// kohya's rule: factors count from the first level that has blocks, which is 2 for SDXL.
    func downsampling(_ request: TokenReductionRequest.Downsampling) throws(RenderError) -> Found {
        let first = levels.first ?? 1
        let depth = request.maximumDepth ?? request.factors.count
        let possible = TokenSwitches.levels.filter { $0 >= first && $0 <= levels.last ?? 1 }
        guard depth <= possible.count else {
            throw .invalidRequest(
                "A token downsampling depth of \(depth) is more than the model has levels: \(places), so choose at most "
                    + "\(possible.count).",
                request.maximumDepth == nil
                    ? SettingFault(.todoFactor)
                    : SettingFault(
                        .todoMaxDepth, value: .integer(Int64(depth)), possible: .numbers(1...Double(possible.count))))
        }
        let factors = request.factors.count == 1 ? Array(repeating: request.factors[0], count: depth) : request.factors
        let wanted = zip(possible, factors).filter { $1 > 1 && model.transformerBlocks[$0] != nil }
        let found = try reached(
            wanted.map { level, factor in
                let method = TokenDownsampling(factor: factor, interpolation: request.interpolation, scope: request.scope)
                return (level, .downsampling(method))
            }, "Token downsampling", .todoFactor)
        guard !found.reductions.isEmpty else {
            throw .invalidRequest(
                "Token downsampling reaches no block: \(places), so give these levels a factor above 1.", about: .todoFactor)
        }
        return found
    }

    // MARK: Grids

    /// Sides of a feature map or of a window.
    private typealias Grid = (height: Int, width: Int)

    /// The reductions with a level at which some call works on fewer tokens.
    ///
    /// - Throws: `.invalidRequest` if HiDiffusion is the only hindrance at all levels.
    private func reached(
        _ wanted: [(Int, TokenReduction)], _ what: String, _ setting: Setting
    ) throws(RenderError) -> Found {
        let found = wanted.filter { level, reduction in
            calls.contains { call in grid(level, reduction, in: call).map { acts(reduction, on: $0, in: call) } ?? false }
        }
        let isHindered =
            found.isEmpty
            && wanted.contains { level, reduction in
                calls.contains { acts(reduction, on: plainGrid(level, reduction, in: $0), in: $0) }
            }
        guard !isHindered else {
            throw .invalidRequest(
                "\(what) reaches no block, because it leaves blocks of fewer than "
                    + "\(ResolvedTokenReduction.leastTokensInHiDiffusion) tokens alone while HiDiffusion's RAU-Net makes "
                    + "feature maps smaller: choose wider token steps, other levels or \(.hidiffusionRaunet) off.",
                about: setting)
        }
        let reductions = Dictionary(uniqueKeysWithValues: found)
        return Found(reductions: reductions, idleLevels: wanted.map(\.0).filter { reductions[$0] == nil })
    }

    /// Whether a reduction leaves fewer tokens of a grid.
    private func acts(_ reduction: TokenReduction, on grid: Grid, in call: PlannedCall) -> Bool {
        switch reduction {
        case .merging(var method):
            let ratio = call.isLater ? request.merging?.laterRatio ?? method.ratio : method.ratio
            method.ratio = max(ratio, request.merging?.finalRatio ?? 0)
            return grid.height >= method.cellHeight && grid.width >= method.cellWidth
                && method.mergedCount(of: grid.height * grid.width) > 0
        case .downsampling(let method):
            // A grid of one token cannot become smaller.
            return method.keptSide(grid.height) * method.keptSide(grid.width) < grid.height * grid.width
        }
    }

    /// The largest map, or window of it, of a level's reduced blocks; nil if HiDiffusion leaves it too small.
    private func grid(_ level: Int, _ reduction: TokenReduction, in call: PlannedCall) -> Grid? {
        guard call.rauNet != .plain, let layout = model.hiDiffusionLayout else { return plainGrid(level, reduction, in: call) }
        let sides = layout.largest(
            level: level, height: call.height, width: call.width, rad: call.rauNet.rad, pool: call.rauNet.pool)
        guard sides.height * sides.width >= ResolvedTokenReduction.leastTokensInHiDiffusion else { return nil }
        return windowed((sides.height, sides.width), level, reduction, call)
    }

    /// The same without RAU-Net. Each level halves the sides of the level before and rounds up.
    private func plainGrid(_ level: Int, _ reduction: TokenReduction, in call: PlannedCall) -> Grid {
        windowed(((call.height + level - 1) / level, (call.width + level - 1) / level), level, reduction, call)
    }

    /// Only self-attention has windows. Downsampling works on self-attention alone, merging perhaps on other parts too.
    private func windowed(_ grid: Grid, _ level: Int, _ reduction: TokenReduction, _ call: PlannedCall) -> Grid {
        if case .merging(let method) = reduction, method.parts != .attention { return grid }
        guard call.windowBlocks != nil, level == model.hiDiffusionLayout?.windowScale else { return grid }
        return ((grid.height + 1) / 2, (grid.width + 1) / 2)
    }
}
