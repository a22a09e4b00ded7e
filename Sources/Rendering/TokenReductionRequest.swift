public import Acceleration

/// What a user asks for to make the U-Net work on fewer tokens: token merging, token downsampling, or both at different levels.
/// Which transformer blocks that reaches depends on the model.
public struct TokenReductionRequest: Sendable, Equatable {
    /// Token merging (ToMe) in the words of the package `tomesd`.
    public struct Merging: Sendable, Equatable {
        /// Share of the tokens that are merged away, 0 to 1; 0 merges none.
        public var ratio: Double
        /// The share of the last call; the ratio moves there in equal steps. nil keeps it.
        public var finalRatio: Double?
        /// The share in the stages behind the first, A1111's ratio for the hires pass; nil is the same as in the first.
        public var laterRatio: Double?
        /// Sides of the cells, each with one destination (`sx`, `sy`).
        public var cellWidth = 2
        public var cellHeight = 2
        /// Blocks up to this level take part: 1, 2, 4 or 8; nil is 1, or what `levels` says.
        public var maximumDownsample: Int?
        /// Exactly the blocks of these levels, instead of all up to one.
        public var levels: [Int]?
        public var parts: TokenMerging.Parts = .attention
        public var destinations = TokenMerging.Destinations.fixed
        public var queriesOnly = false

        public init(ratio: Double) { self.ratio = ratio }

        /// Whether nothing is merged at any call.
        var isOff: Bool { highestRatio == 0 }

        /// The largest share of any call.
        var highestRatio: Double { max(ratio, finalRatio ?? 0, laterRatio ?? 0) }
    }

    /// Token downsampling (ToDo) in the words of kohya's scripts.
    public struct Downsampling: Sendable, Equatable {
        /// One for each level from the first that has blocks on, each at least 1, which leaves a level alone; a single one
        /// counts for all levels down to `maximumDepth`.
        public var factors: [Double]
        /// How many levels take part; nil is as many as there are factors.
        public var maximumDepth: Int?
        public var interpolation = TokenDownsampling.Interpolation.nearestExact
        public var scope = TokenDownsampling.Scope.keysAndValues

        public init(factors: [Double]) { self.factors = factors }

        /// Whether no factor makes anything smaller.
        var isOff: Bool { factors.allSatisfy { $0 == 1 } }
    }

    public var merging: Merging?
    public var downsampling: Downsampling?
    /// The calls of the network that take part, as shares of those that are made: from `start` to below `end`.
    public var start = 0.0
    public var end = 1.0
    public var stages = Stages.all

    /// Which stages of a picture take part.
    public enum Stages: String, Sendable, CaseIterable {
        case all
        /// All but the first, which is small and decides what the picture shows.
        case later
    }

    public init() {}

    /// Whether nothing is asked for that would change a call.
    var isOff: Bool { merging?.isOff ?? true && downsampling?.isOff ?? true }

    /// Without what is said of later stages, for a picture that has none. Merging that is for these alone becomes that of the
    /// one there is.
    public var ofOneStage: TokenReductionRequest {
        var request = self
        request.stages = .all
        if let merging, let later = merging.laterRatio, merging.ratio == 0 { request.merging?.ratio = later }
        request.merging?.laterRatio = nil
        return request
    }

    /// Checks everything that needs no model. Throws `.invalidRequest`.
    func validated() throws(RenderError) {
        guard start >= 0, start < end, end <= 1 else {
            throw RenderError(
                .invalidRequest,
                "Token steps from \(start) to \(end) are not possible: choose two shares of the steps from 0 to 1, the smaller first."
            )
        }
        guard stages == .all || merging?.laterRatio == nil else {
            throw RenderError(
                .invalidRequest,
                "Token merging in later stages alone needs one ratio: give it as --tome-ratio, or leave --token-stages out."
            )
        }
        try merging?.validated()
        try downsampling?.validated()
        guard merging != nil || downsampling != nil else {
            throw RenderError(
                .invalidRequest,
                "Fewer tokens were asked for, but neither how many are merged nor by how much they are downsampled: say which.")
        }
    }
}

extension TokenReductionRequest.Merging {
    fileprivate func validated() throws(RenderError) {
        guard finalRatio == nil || laterRatio == nil else {
            throw RenderError(
                .invalidRequest,
                "Token merging is told both a final ratio and one for later stages: leave one out.")
        }
        if let laterRatio, !(laterRatio > 0 && laterRatio <= 1) {
            throw RenderError(
                .invalidRequest,
                "A token merging ratio of \(laterRatio) for later stages is not possible: choose one above 0, up to 1.")
        }
        for ratio in [ratio, finalRatio ?? ratio] where !(0...1).contains(ratio) {
            throw RenderError(.invalidRequest, "A token merging ratio of \(ratio) is not possible: choose 0 to 1.")
        }
        let sides = 1...TokenMerging.cellLimit
        guard sides.contains(cellWidth), sides.contains(cellHeight), cellWidth * cellHeight > 1 else {
            throw RenderError(
                .invalidRequest,
                "Cells of \(cellWidth)×\(cellHeight) tokens are not possible: choose sides of 1 to \(TokenMerging.cellLimit) with more "
                    + "than one token.")
        }
        guard maximumDownsample == nil || levels == nil else {
            throw RenderError(
                .invalidRequest,
                "Token merging is told both a largest level and the levels themselves: leave one out.")
        }
        guard levels?.isEmpty != true, Set(levels ?? []).count == levels?.count ?? 0 else {
            throw RenderError(.invalidRequest, "Token merging needs levels, each named once: choose from 1, 2, 4 and 8.")
        }
        if let level = ([maximumDownsample].compactMap(\.self) + (levels ?? [])).first(where: { !TokenPlan.levels.contains($0) }
        ) {
            throw RenderError(.invalidRequest, "Token merging has no level \(level): choose 1, 2, 4 or 8.")
        }
        guard !parts.isEmpty else {
            throw RenderError(.invalidRequest, "Token merging needs a part of the blocks: choose attention, cross or mlp.")
        }
        guard !queriesOnly || parts == .attention else {
            throw RenderError(
                .invalidRequest, "Queries alone can be merged in self-attention only: leave the parts cross and mlp out.")
        }
    }
}

extension TokenReductionRequest.Downsampling {
    fileprivate func validated() throws(RenderError) {
        let limit = TokenDownsampling.factorLimit
        guard !factors.isEmpty, factors.count <= TokenPlan.levels.count else {
            throw RenderError(
                .invalidRequest,
                "Token downsampling takes 1 to \(TokenPlan.levels.count) factors, one for each level, not \(factors.count).")
        }
        if let factor = factors.first(where: { !(1...limit).contains($0) }) {
            throw RenderError(
                .invalidRequest, "A token downsampling factor of \(factor) is not possible: choose 1 to \(Int(limit)).")
        }
        guard let maximumDepth else { return }
        guard (1...TokenPlan.levels.count).contains(maximumDepth) else {
            throw RenderError(
                .invalidRequest,
                "A token downsampling depth of \(maximumDepth) is not possible: choose 1 to \(TokenPlan.levels.count).")
        }
        guard factors.count == 1 || factors.count == maximumDepth else {
            throw RenderError(
                .invalidRequest,
                "\(factors.count) token downsampling factors do not fit a depth of \(maximumDepth): give one factor, or one for each "
                    + "level.")
        }
    }
}
