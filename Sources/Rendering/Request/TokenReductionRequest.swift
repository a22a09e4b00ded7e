public import Acceleration
import Sentences
import StrictJSON

/// What a user asks for to make the U-Net work on fewer tokens: token merging, token downsampling, or both at different levels.
/// Which transformer blocks that reaches depends on the model.
public struct TokenReductionRequest: SettingGroup {
    /// Token merging (ToMe) in the words of the package `tomesd`.
    public struct Merging: SettingGroup {
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

        /// Merges none.
        public init() { self.init(ratio: 0) }

        public init(ratio: Double) { self.ratio = ratio }

        /// Whether nothing is merged at any call.
        var isOff: Bool { highestRatio == 0 }

        /// The largest share of any call.
        var highestRatio: Double { max(ratio, finalRatio ?? 0, laterRatio ?? 0) }
    }

    /// Token downsampling (ToDo) in the words of kohya's scripts.
    public struct Downsampling: SettingGroup {
        /// One for each level from the first that has blocks on, each at least 1, which leaves a level alone; a single one
        /// counts for all levels down to `maximumDepth`.
        public var factors: [Double]
        /// How many levels take part; nil is as many as there are factors.
        public var maximumDepth: Int?
        public var interpolation = TokenDownsampling.Interpolation.nearestExact
        public var scope = TokenDownsampling.Scope.keysAndValues

        /// Without the factors, which there must be.
        public init() { self.init(factors: []) }

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
}

extension TokenReductionRequest {
    public static let settings =
        RequestSetting<Self>.group("merging", "an object", get: { $0.merging }, set: { $0.merging = $1 })
        + RequestSetting.group("downsampling", "an object", get: { $0.downsampling }, set: { $0.downsampling = $1 })
        + [
            RequestSetting(nil, member: "start", \.start, .number, written: .required),
            RequestSetting(nil, member: "end", \.end, .number, written: .required),
            .word(.tokenSteps) { word, request throws(RenderError) in
                let parts = word.split(separator: ":", omittingEmptySubsequences: false)
                guard parts.count == 2, let start = Double(parts[0]), let end = Double(parts[1]) else {
                    throw RenderError(
                        .invalidRequest, naming: "\(.tokenSteps) must be two shares of the steps such as 0:0.8, not '\(word)'.")
                }
                (request.start, request.end) = (start, end)
            },
            RequestSetting(.tokenStages, member: "stages", \.stages, .choice, written: .unlessDefault),
        ]

    /// Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        guard start >= 0, start < end, end <= 1 else {
            throw RenderError(
                .invalidRequest,
                "Token steps from \(start) to \(end) are not possible: choose two shares of the steps from 0 to 1, the smaller first."
            )
        }
        guard stages == .all || merging?.laterRatio == nil else {
            throw RenderError(
                .invalidRequest,
                naming:
                    "Token merging in later stages alone needs one ratio: give it as \(.tomeRatio), or leave \(.tokenStages) out."
            )
        }
        guard merging != nil || downsampling != nil else {
            throw RenderError(
                .invalidRequest,
                "Fewer tokens were asked for, but neither how many are merged nor by how much they are downsampled: say which.")
        }
    }
}

extension TokenReductionRequest.Merging {
    public static let settings: [RequestSetting<Self>] = [
        RequestSetting(
            .tomeRatio, member: "ratio", \.ratio, .number, SettingRange(0...1) { "A token merging ratio of \($0) is" },
            written: .required),
        RequestSetting(
            .tomeFinalRatio, member: "final_ratio", \.finalRatio, .number,
            SettingRange(0...1) { "A token merging ratio of \($0) is" }),
        RequestSetting(
            .tomeHiresRatio, member: "later_ratio", \.laterRatio, .number,
            SettingRange(0...1, isOpen: true) { "A token merging ratio of \($0) for later stages is" }
        )
        .said { word, merging throws(RenderError) in
            // A1111's word for the same as in the first.
            let ratio = try SettingKind.number.value(word, of: .tomeHiresRatio)
            merging.laterRatio = ratio == 0 ? nil : ratio
        },
        RequestSetting(.tomeSx, member: "sx", \.cellWidth, .whole, written: .required),
        RequestSetting(.tomeSy, member: "sy", \.cellHeight, .whole, written: .required),
        RequestSetting(.tomeMaxDownsample, member: "max_downsample", \.maximumDownsample, .whole),
        RequestSetting(.tomeLevels, member: "levels", \.levels, .list(.whole, "a list", words: "levels such as 2,4")),
        RequestSetting(.tomeLayers, member: "layers", \.parts, TokenMerging.Parts.kind, written: .required),
        RequestSetting(.tomeDestinations, member: "destinations", \.destinations, .choice, written: .required),
        RequestSetting(.tomeQueriesOnly, member: "queries_only", \.queriesOnly, .flag, written: .required),
    ]

    /// Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        guard finalRatio == nil || laterRatio == nil else {
            throw RenderError(
                .invalidRequest,
                "Token merging is told both a final ratio and one for later stages: leave one out.")
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
        if let level = ([maximumDownsample].compactMap(\.self) + (levels ?? [])).first(where: {
            !TokenSwitches.levels.contains($0)
        }
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
    public static let settings: [RequestSetting<Self>] = [
        RequestSetting(
            .todoFactor, member: "factors", \.factors,
            .list(.number, "a list", words: "numbers with commas between", limit: TokenSwitches.levels.count),
            written: .required
        )
        .said { word, downsampling throws(RenderError) in
            downsampling.factors.append(try SettingKind.number.value(word, of: .todoFactor))
        },
        RequestSetting(.todoMaxDepth, member: "max_depth", \.maximumDepth, .whole),
        RequestSetting(.todoMethod, member: "method", \.interpolation, .choice, written: .required),
        RequestSetting(.todoScope, member: "scope", \.scope, .choice, written: .required),
    ]

    /// Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        let limit = TokenDownsampling.factorLimit
        guard !factors.isEmpty, factors.count <= TokenSwitches.levels.count else {
            throw RenderError(
                .invalidRequest,
                "Token downsampling takes 1 to \(TokenSwitches.levels.count) factors, one for each level, not \(factors.count)."
            )
        }
        if let factor = factors.first(where: { !(1...limit).contains($0) }) {
            throw RenderError(
                .invalidRequest, "A token downsampling factor of \(factor) is not possible: choose 1 to \(Int(limit)).")
        }
        guard let maximumDepth else { return }
        guard (1...TokenSwitches.levels.count).contains(maximumDepth) else {
            throw RenderError(
                .invalidRequest,
                "A token downsampling depth of \(maximumDepth) is not possible: choose 1 to \(TokenSwitches.levels.count).")
        }
        guard factors.count == 1 || factors.count == maximumDepth else {
            throw RenderError(
                .invalidRequest,
                "\(factors.count) token downsampling factors do not fit a depth of \(maximumDepth): give one factor, or one for each "
                    + "level.")
        }
    }
}

extension TokenMerging.Parts {
    private static let named: [(name: String, part: TokenMerging.Parts)] = [
        ("attention", .attention), ("cross", .textAttention), ("mlp", .feedForward),
    ]

    /// The parts by the names that requests and users have for them.
    public var names: [String] { Self.named.filter { contains($0.part) }.map(\.name) }

    /// nil for a name that is not known, or that comes twice.
    public init?(names: [String]) {
        self = []
        for name in names {
            guard let part = Self.named.first(where: { $0.name == name })?.part, !contains(part) else { return nil }
            insert(part)
        }
    }

    fileprivate static let kind = SettingKind<Self>(
        "a list of names", words: "attention, cross and mlp with commas between",
        read: { json in json.arrayValue.flatMap { Self(names: $0.map { $0.stringValue ?? "" }) } },
        write: { .array($0.names.map { .string($0) }) },
        parse: { Self(names: $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)) })
}
