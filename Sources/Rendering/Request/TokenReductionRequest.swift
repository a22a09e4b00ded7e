public import Acceleration
import Sentences
import StrictJSON

/// A user's wish for fewer tokens in the U-Net: token merging, token downsampling, or both at different levels. The model
/// decides which transformer blocks they reach.
public struct TokenReductionRequest: SettingGroup {
    /// Token merging (ToMe), with the names of the package `tomesd`.
    public struct Merging: SettingGroup {
        /// Share of the tokens to merge, 0 to 1.
        public var ratio: Double
        /// The share at the last call; the ratio moves there in equal steps. nil keeps the ratio.
        public var finalRatio: Double?
        /// The share in the stages after the first, A1111's ratio for the hires pass; nil keeps the ratio.
        public var laterRatio: Double?
        /// Sides of the cells (`sx`, `sy`). Each cell has one destination.
        public var cellWidth = 2
        public var cellHeight = 2
        /// Blocks up to this level take part: 1, 2, 4 or 8. nil is the first, unless there are `levels`.
        public var maximumDownsample: Int?
        /// Exactly the blocks of these levels take part.
        public var levels: [Int]?
        public var parts: TokenMerging.Parts = .attention
        public var destinations = TokenMerging.Destinations.fixed
        public var queriesOnly = false

        /// The last level that takes part, without `levels`.
        public var deepestLevel: Int { maximumDownsample ?? 1 }

        /// Merges none.
        public init() { self.init(ratio: 0) }

        public init(ratio: Double) { self.ratio = ratio }

        /// Whether no call merges tokens.
        var isOff: Bool { highestRatio == 0 }

        /// The largest share of any call.
        var highestRatio: Double { max(ratio, finalRatio ?? 0, laterRatio ?? 0) }
    }

    /// Token downsampling (ToDo), with the names of kohya's scripts.
    public struct Downsampling: SettingGroup {
        /// One factor for each level, from the first level with blocks on. It is at least 1; 1 leaves a level alone. A single
        /// factor counts for all levels down to `maximumDepth`.
        public var factors: [Double]
        /// The number of levels that take part; nil is the number of factors.
        public var maximumDepth: Int?
        public var interpolation = TokenDownsampling.Interpolation.nearestExact
        public var scope = TokenDownsampling.Scope.keysAndValues

        /// Downsampling without the required factors.
        public init() { self.init(factors: []) }

        public init(factors: [Double]) { self.factors = factors }

        /// Whether no factor reduces tokens.
        var isOff: Bool { factors.allSatisfy { $0 == 1 } }
    }

    public var merging: Merging?
    public var downsampling: Downsampling?
    /// The calls that take part, as shares of a pass's calls: from `start` to below `end`.
    public var start = 0.0
    public var end = 1.0
    public var stages = Stages.all

    /// The stages of a picture that take part.
    public enum Stages: String, Sendable, CaseIterable {
        case all
        /// All but the first. The first is small and decides what the picture shows.
        case later
    }

    public init() {}

    /// Whether the request changes no call.
    var isOff: Bool { merging?.isOff ?? true && downsampling?.isOff ?? true }

    /// The request for a picture of one stage, without settings for later stages. A ratio for later stages alone becomes the
    /// ratio of the one stage.
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
        RequestSetting<Self>.group("merging", get: { $0.merging }, set: { $0.merging = $1 })
        + RequestSetting.group("downsampling", get: { $0.downsampling }, set: { $0.downsampling = $1 })
        + [
            RequestSetting(nil, member: "start", \.start, .number, written: .required),
            RequestSetting(nil, member: "end", \.end, .number, written: .required),
            RequestSetting(.tokenSteps).said { word, request throws(RenderError) in
                let parts = word.split(separator: ":", omittingEmptySubsequences: false)
                guard parts.count == 2, let start = Double(parts[0]), let end = Double(parts[1]) else {
                    throw .invalidRequest(
                        "\(.tokenSteps) must be two shares of the steps such as 0:0.8, not '\(word)'.", aboutAll: [])
                }
                (request.start, request.end) = (start, end)
            },
            RequestSetting(.tokenStages, member: "stages", \.stages, .choice, written: .unlessDefault),
        ]

    /// Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        guard start >= 0, start < end, end <= 1 else {
            throw .invalidRequest(
                "Token steps from \(start) to \(end) are not possible: choose two shares of the steps from 0 to 1, the smaller "
                    + "first.", about: .tokenSteps)
        }
        guard stages == .all || merging?.laterRatio == nil else {
            throw .invalidRequest(
                "\(.tomeHiresRatio) has no effect with \(.tokenStages) later: give that ratio as \(.tomeRatio), or leave "
                    + "\(.tokenStages) out.", about: .tomeHiresRatio, .tokenStages)
        }
        guard merging != nil || downsampling != nil else {
            throw .invalidRequest(
                "A reduction of tokens needs a merging ratio (\(.tomeRatio)) or downsampling factors (\(.todoFactor)): give "
                    + "one.", about: .tomeRatio, .todoFactor)
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
            // In A1111 0 means the ratio of the first stage.
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
            throw .invalidRequest(
                "\(.tomeFinalRatio) and \(.tomeHiresRatio) exclude each other: leave one out.", about: .tomeFinalRatio,
                .tomeHiresRatio)
        }
        let sides = 1...TokenMerging.cellLimit
        guard sides.contains(cellWidth), sides.contains(cellHeight), cellWidth * cellHeight > 1 else {
            // One token in a cell is the fault of both sides.
            let wrong = [(Setting.tomeSx, cellWidth), (.tomeSy, cellHeight)].filter { !sides.contains($0.1) }
            let possible = PossibleValues.numbers(1...Double(TokenMerging.cellLimit))
            throw RenderError.invalidRequest(
                "Cells of \(cellWidth)×\(cellHeight) tokens are not possible: choose sides of 1 to \(TokenMerging.cellLimit) "
                    + "with more than one token.", aboutAll: wrong.isEmpty ? [.tomeSx, .tomeSy] : []
            ).about(wrong.first.map { SettingFault($0.0, value: .integer(Int64($0.1)), possible: possible) })
        }
        guard maximumDownsample == nil || levels == nil else {
            throw .invalidRequest(
                "\(.tomeMaxDownsample) and \(.tomeLevels) exclude each other: leave one out.", about: .tomeMaxDownsample,
                .tomeLevels)
        }
        guard levels?.isEmpty != true, Set(levels ?? []).count == levels?.count ?? 0 else {
            throw .invalidRequest(
                "Token merging needs levels, and each level only once: choose from 1, 2, 4 and 8.", about: .tomeLevels)
        }
        let named = levels ?? (maximumDownsample.map { [$0] } ?? [])
        if let level = named.first(where: { !TokenSwitches.levels.contains($0) }) {
            throw .invalidRequest(
                "Token merging has no level \(level): choose 1, 2, 4 or 8.",
                SettingFault(levels == nil ? .tomeMaxDownsample : .tomeLevels, value: .integer(Int64(level))))
        }
        guard !parts.isEmpty else {
            throw .invalidRequest(
                "Token merging needs a part of the blocks: choose attention, cross or mlp.", about: .tomeLayers)
        }
        guard !queriesOnly || parts == .attention else {
            throw .invalidRequest(
                "Merging of queries alone works only in self-attention: leave the parts cross and mlp out.",
                about: .tomeQueriesOnly)
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
        RequestSetting(
            .todoMaxDepth, member: "max_depth", \.maximumDepth, .whole,
            SettingRange(1...TokenSwitches.levels.count) { "A token downsampling depth of \($0) is" }),
        RequestSetting(.todoMethod, member: "method", \.interpolation, .choice, written: .required),
        RequestSetting(.todoScope, member: "scope", \.scope, .choice, written: .required),
    ]

    /// Throws `.invalidRequest`.
    public func checkTogether() throws(RenderError) {
        let limit = TokenDownsampling.factorLimit
        guard !factors.isEmpty, factors.count <= TokenSwitches.levels.count else {
            throw .invalidRequest(
                "Token downsampling takes 1 to \(TokenSwitches.levels.count) factors, one for each level, not "
                    + "\(factors.count).", about: .todoFactor)
        }
        if let factor = factors.first(where: { !(1...limit).contains($0) }) {
            throw .invalidRequest(
                "A token downsampling factor of \(factor) is not possible: choose 1 to \(Int(limit)).",
                SettingFault(.todoFactor, value: .number(factor), possible: .numbers(1...limit)))
        }
        guard let maximumDepth else { return }
        guard factors.count == 1 || factors.count == maximumDepth else {
            throw .invalidRequest(
                "\(factors.count) token downsampling factors do not fit a depth of \(maximumDepth): give one factor, or one "
                    + "for each level.", about: .todoFactor, .todoMaxDepth)
        }
    }
}

extension TokenMerging.Parts {
    private static let named: [(name: String, part: TokenMerging.Parts)] = [
        ("attention", .attention), ("cross", .textAttention), ("mlp", .feedForward),
    ]

    /// The names of the parts in requests and words.
    public var names: [String] { Self.named.filter { contains($0.part) }.map(\.name) }

    /// The parts by their names; nil for an unknown or repeated name.
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
