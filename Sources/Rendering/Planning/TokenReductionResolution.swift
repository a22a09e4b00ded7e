import Acceleration
import DiffusionModels
import Sentences

extension ResolvedTokenReduction {
    /// - Parameters:
    ///   - request: a valid one.
    ///   - passes: a level is left out if its grids are too small in all their calls.
    /// - Returns: nil for a ratio of 0 or factors of 1.
    /// - Throws: `.invalidRequest` for settings that reach no block, no token or no call.
    init?(
        _ request: TokenReductionRequest, model: ModelDescription, passes: [RenderPass]
    ) throws(RenderError) {
        guard passes.count > 1 || request == request.ofOneStage else {
            throw RenderError(
                .invalidRequest,
                naming:
                    "\(.tokenStages) and \(.tomeHiresRatio) need a later stage, but this picture has one stage: leave them out, "
                    + "or choose a method with stages.")
        }
        activeCalls = passes.map { request.activeCalls(of: $0) }
        let resolution = TokenReductionResolution(
            model: model, calls: zip(passes, activeCalls).flatMap { $0.schedule[$1] })
        try resolution.checkSituations(request)
        let merging = try request.merging.map { request throws(RenderError) in
            request.isOff ? .nothing : try resolution.merging(request)
        }
        let downsampling = try request.downsampling.map { request throws(RenderError) in
            request.isOff ? .nothing : try resolution.downsampling(request)
        }
        let (merged, downsampled) = (merging?.reductions ?? [:], downsampling?.reductions ?? [:])
        if let level = merged.keys.filter({ downsampled[$0] != nil }).min() {
            throw RenderError(
                .invalidRequest,
                naming:
                    "Tokens of level \(level) would be both merged and downsampled: choose one of the two for each level, for example by "
                    + "\(.tomeLevels), or by a factor of 1.")
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
    /// The calls of a pass that take part, counted from the first it makes. Products are rounded down.
    fileprivate func activeCalls(of pass: RenderPass) -> Range<Int> {
        let count = Double(pass.schedule.count)
        return stages == .later && pass.index == 0 ? 0..<0 : Int(count * start)..<Int(count * end)
    }
}

/// Finds the levels at which a request reaches transformer blocks.
private struct TokenReductionResolution {
    /// The network's input in some calls that take part; equal calls share one.
    struct Situation: Equatable {
        let height: Int
        let width: Int
        let hasWindows: Bool
        let rauNet: RAUNetSwitches
        let isLater: Bool
    }

    struct Found {
        var reductions: [Int: TokenReduction]
        /// Requested levels with blocks, but too few tokens in all calls.
        var idleLevels: [Int]

        static let nothing = Found(reductions: [:], idleLevels: [])
    }

    /// The feature map of a level's blocks at some calls.
    private struct Grid {
        var height: Int
        var width: Int
        var isLater: Bool
    }

    let model: ModelDescription
    let situations: [Situation]

    /// - Parameter calls: those that take part.
    init(model: ModelDescription, calls: [PlannedCall]) {
        var situations: [Situation] = []
        for call in calls {
            let situation = Situation(
                height: call.height, width: call.width, hasWindows: call.windowBlocks != nil, rauNet: call.rauNet,
                isLater: call.isLater)
            if situations.last != situation, !situations.contains(situation) { situations.append(situation) }
        }
        (self.model, self.situations) = (model, situations)
    }

    /// The range of steps must hold calls, and calls of a later stage if the request is for these.
    func checkSituations(_ request: TokenReductionRequest) throws(RenderError) {
        let needsLater = request.stages == .later || request.merging?.laterRatio != nil
        guard !request.isOff, situations.isEmpty || needsLater && !situations.contains(where: \.isLater) else { return }
        throw RenderError(
            .invalidRequest,
            "Token steps from \(request.start) to \(request.end) hold no call of \(needsLater ? "a later stage" : "the network"): choose "
                + "a wider range.")
    }

    private var levels: [Int] { model.transformerBlocks.keys.sorted() }

    /// For messages.
    private var places: String {
        "\(model.name) has transformer blocks at level\(levels.count == 1 ? "" : "s") "
            + levels.map { "\($0) (\(model.transformerBlocks[$0] ?? 0))" }.joined(separator: ", ")
    }

    func merging(_ request: TokenReductionRequest.Merging) throws(RenderError) -> Found {
        let wanted = request.levels ?? TokenSwitches.levels.filter { $0 <= request.maximumDownsample ?? 1 }
        let found = wanted.filter { model.transformerBlocks[$0] != nil }
        // All levels of a list must have blocks.
        guard !found.isEmpty, request.levels == nil || found.count == wanted.count else {
            let what =
                request.levels == nil
                ? "up to level \(wanted.max() ?? 1)" : "at the levels \(wanted.map(String.init).joined(separator: ", "))"
            throw RenderError(
                .invalidRequest,
                naming: "Token merging \(what) finds no blocks there: \(places), so choose \(.tomeMaxDownsample) "
                    + "\(levels.first ?? 1) or more, or levels with blocks.")
        }
        let method = TokenMerging(
            ratio: request.ratio, cellWidth: request.cellWidth, cellHeight: request.cellHeight,
            destinations: request.destinations, parts: request.parts, queriesOnly: request.queriesOnly)
        func merges(_ grid: Grid) -> Bool {
            var highest = method
            highest.ratio = max(grid.isLater ? request.laterRatio ?? request.ratio : request.ratio, request.finalRatio ?? 0)
            return grid.height >= method.cellHeight && grid.width >= method.cellWidth
                && highest.mergedCount(of: grid.height * grid.width) > 0
        }
        let fitting = try reached(found, method.parts, "Token merging", merges)
        guard !fitting.isEmpty else {
            throw RenderError(
                .invalidRequest,
                "Token merging with cells of \(method.cellWidth)×\(method.cellHeight) and a ratio of \(request.highestRatio) merges no token, "
                    + "because the picture is too small: choose smaller cells, a higher ratio or a larger picture.")
        }
        return Found(
            reductions: Dictionary(uniqueKeysWithValues: fitting.map { ($0, .merging(method)) }),
            idleLevels: found.filter { !fitting.contains($0) })
    }

    /// kohya's rule: factors count from the first level that has blocks, which is 2 for SDXL.
    func downsampling(_ request: TokenReductionRequest.Downsampling) throws(RenderError) -> Found {
        let first = levels.first ?? 1
        let depth = request.maximumDepth ?? request.factors.count
        let possible = TokenSwitches.levels.filter { $0 >= first && $0 <= levels.last ?? 1 }
        guard depth <= possible.count else {
            throw RenderError(
                .invalidRequest,
                "A token downsampling depth of \(depth) is more than the model has levels: \(places), so choose at most "
                    + "\(possible.count).")
        }
        let factors = request.factors.count == 1 ? Array(repeating: request.factors[0], count: depth) : request.factors
        var methods: [Int: TokenDownsampling] = [:]
        for (level, factor) in zip(possible, factors) where factor > 1 && model.transformerBlocks[level] != nil {
            methods[level] = TokenDownsampling(factor: factor, interpolation: request.interpolation, scope: request.scope)
        }
        var found: [Int: TokenReduction] = [:]
        var unreached: RenderError?
        for (level, method) in methods.sorted(by: { $0.key < $1.key }) {
            do {
                let levels = try reached([level], .attention, "Token downsampling") { grid in
                    // A grid of one token cannot become smaller.
                    method.keptSide(grid.height) * method.keptSide(grid.width) < grid.height * grid.width
                }
                if !levels.isEmpty { found[level] = .downsampling(method) }
            } catch { unreached = error }
        }
        guard found.isEmpty else {
            return Found(reductions: found, idleLevels: methods.keys.filter { found[$0] == nil })
        }
        throw unreached
            ?? RenderError(
                .invalidRequest,
                "Token downsampling reaches no block: \(places), so give these levels a factor above 1.")
    }

    // MARK: Grids

    /// The levels at which some call works on fewer tokens.
    ///
    /// - Throws: `.invalidRequest` if HiDiffusion is the only hindrance at all levels.
    private func reached(
        _ levels: [Int], _ parts: TokenMerging.Parts, _ what: String, _ acts: (Grid) -> Bool
    ) throws(RenderError) -> [Int] {
        let found = levels.filter { level in situations.contains { grid(level, parts, in: $0).map(acts) ?? false } }
        let isHindered =
            found.isEmpty
            && levels.contains { level in situations.contains { acts(plainGrid(level, parts, in: $0)) } }
        guard isHindered else { return found }
        throw RenderError(
            .invalidRequest,
            naming:
                "\(what) reaches no block, because it leaves blocks of fewer than \(ResolvedTokenReduction.leastTokensInHiDiffusion) tokens "
                + "alone while HiDiffusion's RAU-Net makes feature maps smaller: choose wider token steps, other levels or "
                + "\(.hidiffusionRaunet) off.")
    }

    /// The largest map, or window of it, that these parts of a level's blocks work on; nil if HiDiffusion leaves it too small.
    private func grid(_ level: Int, _ parts: TokenMerging.Parts, in situation: Situation) -> Grid? {
        let rauNet = situation.rauNet
        guard rauNet.rad || rauNet.pool, let layout = model.hiDiffusionLayout else {
            return plainGrid(level, parts, in: situation)
        }
        let sides = layout.largest(
            level: level, height: situation.height, width: situation.width, rad: rauNet.rad, pool: rauNet.pool)
        guard sides.height * sides.width >= ResolvedTokenReduction.leastTokensInHiDiffusion else { return nil }
        return windowed(
            Grid(height: sides.height, width: sides.width, isLater: situation.isLater), level, parts, situation)
    }

    /// The same without RAU-Net.
    private func plainGrid(_ level: Int, _ parts: TokenMerging.Parts, in situation: Situation) -> Grid {
        // Each level halves the one before and rounds up.
        let (height, width) = ((situation.height + level - 1) / level, (situation.width + level - 1) / level)
        return windowed(Grid(height: height, width: width, isLater: situation.isLater), level, parts, situation)
    }

    /// Only self-attention has windows.
    private func windowed(_ grid: Grid, _ level: Int, _ parts: TokenMerging.Parts, _ situation: Situation) -> Grid {
        guard situation.hasWindows, level == model.hiDiffusionLayout?.windowScale, parts == .attention else { return grid }
        return Grid(height: (grid.height + 1) / 2, width: (grid.width + 1) / 2, isLater: grid.isLater)
    }
}
