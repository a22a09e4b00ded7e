import Acceleration
import Rendering

/// How the U-Net works on fewer tokens, in the words of a user.
public struct TokenWords: Sendable {
    public var tomeRatio: Double?, tomeFinalRatio: Double?, tomeHiresRatio: Double?
    public var tomeSx: Int?, tomeSy: Int?, tomeMaxDownsample: Int?
    /// Levels such as `2,4`.
    public var tomeLevels: String?
    /// Parts of blocks such as `attention,mlp`.
    public var tomeLayers: String?
    public var tomeDestinations: String?
    public var tomeQueriesOnly = false
    /// A factor for each level, or one for all; none for no downsampling.
    public var todoFactors: [Double] = []
    public var todoMaxDepth: Int?
    public var todoMethod: String?, todoScope: String?
    /// Two shares of the steps such as `0:0.8`.
    public var tokenSteps: String?
    public var tokenStages: String?

    /// Nothing said.
    public init() {}

    func apply(to request: inout RenderRequest) throws(RequestError) {
        var tokens = TokenReductionRequest()
        tokens.merging = try merging()
        tokens.downsampling = try downsampling()
        guard tokens.merging != nil || tokens.downsampling != nil else {
            guard tokenSteps == nil, tokenStages == nil else {
                throw RequestError(
                    .invalid,
                    "\(.tokenSteps) and \(.tokenStages) belong to \(.tomeRatio) or \(.todoFactor): give one of them.")
            }
            return
        }
        if let tokenStages { tokens.stages = try Words.choice(tokenStages, .tokenStages) }
        if let tokenSteps { (tokens.start, tokens.end) = try Self.range(tokenSteps) }
        request.tokenReduction = tokens
    }

    /// The first setting that means nothing without a ratio.
    private var loneMergingSetting: Setting? {
        let others: [(Setting, Bool)] = [
            (.tomeFinalRatio, tomeFinalRatio != nil), (.tomeSx, tomeSx != nil), (.tomeSy, tomeSy != nil),
            (.tomeMaxDownsample, tomeMaxDownsample != nil), (.tomeLevels, tomeLevels != nil),
            (.tomeLayers, tomeLayers != nil), (.tomeDestinations, tomeDestinations != nil),
            (.tomeQueriesOnly, tomeQueriesOnly),
        ]
        return others.first(where: \.1)?.0
    }

    private func merging() throws(RequestError) -> TokenReductionRequest.Merging? {
        let later = tomeHiresRatio == 0 ? nil : tomeHiresRatio
        guard let tomeRatio = tomeRatio ?? later.map({ _ in 0 }) else {
            guard let lone = loneMergingSetting else { return nil }
            throw RequestError(.invalid, "\(lone) belongs to \(.tomeRatio): give that too.")
        }
        var merging = TokenReductionRequest.Merging(ratio: tomeRatio)
        (merging.finalRatio, merging.laterRatio) = (tomeFinalRatio, later)
        merging.cellWidth = tomeSx ?? merging.cellWidth
        merging.cellHeight = tomeSy ?? merging.cellHeight
        merging.maximumDownsample = tomeMaxDownsample
        merging.queriesOnly = tomeQueriesOnly
        if let tomeLevels {
            let levels = Words.list(tomeLevels).map { Int($0) }
            guard !levels.contains(nil) else {
                throw RequestError(.invalid, "\(.tomeLevels) must be levels such as 2,4, not '\(tomeLevels)'.")
            }
            merging.levels = levels.compactMap(\.self)
        }
        if let tomeLayers {
            guard let parts = TokenMerging.Parts(names: Words.list(tomeLayers)) else {
                throw RequestError(
                    .invalid, "\(.tomeLayers) must be attention, cross and mlp with commas between, not '\(tomeLayers)'.")
            }
            merging.parts = parts
        }
        if let tomeDestinations { merging.destinations = try Words.choice(tomeDestinations, .tomeDestinations) }
        return merging
    }

    private func downsampling() throws(RequestError) -> TokenReductionRequest.Downsampling? {
        guard !todoFactors.isEmpty else {
            guard todoMaxDepth == nil, todoMethod == nil, todoScope == nil else {
                throw RequestError(
                    .invalid,
                    "\(.todoMaxDepth), \(.todoMethod) and \(.todoScope) belong to \(.todoFactor): give that too.")
            }
            return nil
        }
        var downsampling = TokenReductionRequest.Downsampling(factors: todoFactors)
        downsampling.maximumDepth = todoMaxDepth
        if let todoMethod { downsampling.interpolation = try Words.choice(todoMethod, .todoMethod) }
        if let todoScope { downsampling.scope = try Words.choice(todoScope, .todoScope) }
        return downsampling
    }

    private static func range(_ text: String) throws(RequestError) -> (Double, Double) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let start = Double(parts[0]), let end = Double(parts[1]) else {
            throw RequestError(.invalid, "\(.tokenSteps) must be two shares of the steps such as 0:0.8, not '\(text)'.")
        }
        return (start, end)
    }
}
