import Acceleration
import StrictJSON

/// The reduction of tokens in a plan: at which levels and in which calls.
public struct ResolvedTokenReduction: Sendable, Equatable {
    /// The reduction at each level with blocks. The ratio of merging is the first call's.
    let reductions: [Int: TokenReduction]
    /// Requested levels with too few tokens in all calls.
    let idleLevels: [Int]
    /// Transformer blocks of the model by level.
    let blocks: [Int: Int]
    let finalRatio: Double?
    /// The ratio of merging after the first pass; nil is the same as in the first.
    let laterRatio: Double?
    /// The requested range of the calls, as shares of a pass's calls.
    let start: Double
    let end: Double
    let stages: TokenReductionRequest.Stages
    /// The calls of each pass that take part, as positions in its schedule.
    let activeCalls: [Range<Int>]

    /// Blocks of fewer tokens keep them all while RAU-Net makes feature maps smaller: too few keys would be left. Our rule; the
    /// references have none.
    static let leastTokensInHiDiffusion = 1024

    /// Sets the token switches of all calls that take part.
    ///
    /// - Parameter seed: the picture's, for hashed destinations.
    func apply(to passes: inout [RenderPass], seed: UInt64) {
        for (pass, active) in activeCalls.enumerated() {
            for position in active {
                let share = active.count > 1 ? Double(position - active.lowerBound) / Double(active.count - 1) : 0
                let call = passes[pass].schedule[position]
                passes[pass].schedule[position].tokens = TokenSwitches(
                    reductions: reductions.mapValues { scheduled($0, share: share, isLater: pass > 0) },
                    minimumTokens: call.rauNet == .plain ? 0 : Self.leastTokensInHiDiffusion, seed: seed, call: call.draw)
            }
        }
    }

    private func scheduled(_ reduction: TokenReduction, share: Double, isLater: Bool) -> TokenReduction {
        guard case .merging(var method) = reduction else { return reduction }
        if let laterRatio, isLater { method.ratio = laterRatio }
        // Rounding must not lead out of 0 to 1.
        if let finalRatio { method.ratio = min(1, max(0, method.ratio + (finalRatio - method.ratio) * share)) }
        return .merging(method)
    }
}

// MARK: - Telling

extension ResolvedTokenReduction {
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

    /// The reduction in lines for people.
    func summaryLines(_ passes: [RenderPass]) -> [String] {
        let range = rangeOfCalls(passes)
        var lines: [String] = []
        if let method = merged.first?.method {
            var ratio = short(method.ratio)
            if let finalRatio { ratio += " to \(short(finalRatio))" }
            if let laterRatio { ratio += ", in later stages \(short(laterRatio))," }
            let levels = merged.map { String($0.level) }.joined(separator: ", ")
            lines.append(
                "token merging (ToMe): \(ratio) of the tokens at level \(levels), \(count(merged.map(\.level))), "
                    + (method.queriesOnly ? "queries only" : method.parts.names.joined(separator: " and ")) + range)
        }
        if !downsampled.isEmpty {
            let levels = downsampled.map { "\(short($0.method.factor)) at level \($0.level)" }.joined(separator: ", ")
            lines.append("token downsampling (ToDo): by \(levels), \(count(downsampled.map(\.level)))\(range)")
        }
        for level in idleLevels { lines.append("tokens of level \(level) are left alone: there are too few of them") }
        return lines
    }

    /// The range of calls for people; empty if all calls take part.
    private func rangeOfCalls(_ passes: [RenderPass]) -> String {
        var range = stages == .later ? ", in later stages" : ""
        guard start > 0 || end < 1 else { return range }
        if passes.count == 1 {
            let (active, count) = (activeCalls[0], passes[0].schedule.count)
            guard active.count < count else { return range }
            range += ", calls \(active.lowerBound + 1) to \(active.upperBound) of \(count)"
        } else {
            range += ", from \(short(start)) to \(short(end)) of a stage's calls"
        }
        return range
    }

    /// The reduction for programs: the method of each level, and the number of its blocks. `calls` has the first call and the
    /// end of each pass.
    var json: JSONValue {
        var object = JSONObject()
        object["levels"] = .array(
            sorted.map { level, reduction in
                var entry = reduction.object(level: level)
                entry["blocks"] = .integer(Int64(blocks[level] ?? 0))
                return .object(entry)
            })
        object["final_ratio"] = finalRatio.map { .number($0) }
        object["blocks"] = .integer(Int64(blocks.values.reduce(0, +)))
        object["later_ratio"] = laterRatio.map { .number($0) }
        object["calls"] = .array(
            activeCalls.map { [.integer(Int64($0.lowerBound)), .integer(Int64($0.upperBound))] })
        return .object(object)
    }

    /// The picture's parameters: A1111's key for merging, its extension's keys for downsampling, and our own keys for unusual
    /// values without either.
    var parameters: [(String, String)] {
        var pairs: [(String, String)] = []
        if let method = merged.first?.method {
            pairs.append(("Token merging ratio", short(method.ratio)))
            if let laterRatio { pairs.append(("Token merging ratio hr", short(laterRatio))) }
            if let finalRatio { pairs.append(("ToMe final ratio", short(finalRatio))) }
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
            pairs.append(("ToDo factor", factors.map(short).joined(separator: " ")))
            pairs.append(("ToDo max depth", String(factors.count)))
            if deepest.method.interpolation != .nearestExact {
                pairs.append(("ToDo method", deepest.method.interpolation.rawValue))
            }
            if deepest.method.scope != .keysAndValues { pairs.append(("ToDo scope", deepest.method.scope.rawValue)) }
            if end < 1 { pairs.append(("ToDo disable after", short(end))) }
        }
        if start > 0 || end < 1 { pairs.append(("Token steps", "\(short(start))-\(short(end))")) }
        if stages != .all { pairs.append(("Token stages", stages.rawValue)) }
        return pairs
    }

    /// The factors for the extension: one for each level from the model's first with blocks, 1 for levels without downsampling.
    private func factors(to deepest: Int) -> [Double] {
        let first = blocks.keys.min() ?? 1
        return TokenSwitches.levels.filter { $0 >= first && $0 <= deepest }.map { level in
            downsampled.first { $0.level == level }?.method.factor ?? 1
        }
    }
}
