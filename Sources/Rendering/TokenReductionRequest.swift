public import Acceleration
import StrictJSON

/// What a user asks for to make the U-Net work on fewer tokens: token merging, token downsampling, or both at different levels.
/// Which transformer blocks that reaches depends on the model.
public struct TokenReductionRequest: Sendable, Equatable {
    /// Token merging (ToMe) in the words of the package `tomesd`.
    public struct Merging: Sendable, Equatable {
        /// Share of the tokens that are merged away, 0 to 1; 0 merges none.
        public var ratio: Double
        /// The share of the last call; the ratio moves there in equal steps. nil keeps it.
        public var finalRatio: Double?
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
        var isOff: Bool { ratio == 0 && (finalRatio ?? 0) == 0 }
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

    public init() {}

    /// Checks everything that needs no model. Throws `.invalidRequest`.
    func validated() throws(RenderError) {
        guard start >= 0, start < end, end <= 1 else {
            throw RenderError(
                .invalidRequest,
                "Token steps from \(start) to \(end) are not possible: choose two shares of the steps from 0 to 1, the smaller first."
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

// MARK: - JSON

extension TokenReductionRequest {
    /// The request's own object, with absent keys for defaults.
    var json: JSONValue {
        var object = JSONObject()
        object["merging"] = merging?.json
        object["downsampling"] = downsampling?.json
        object["start"] = .number(start)
        object["end"] = .number(end)
        return .object(object)
    }

    /// nil for anything but such an object, also for keys that are not known.
    init?(json: JSONValue) {
        self.init()
        guard let object = json.objectValue, object.keys.allSatisfy(["merging", "downsampling", "start", "end"].contains)
        else { return nil }
        if let value = object["merging"] {
            guard let merging = Merging(json: value) else { return nil }
            self.merging = merging
        }
        if let value = object["downsampling"] {
            guard let downsampling = Downsampling(json: value) else { return nil }
            self.downsampling = downsampling
        }
        guard let start = object["start"]?.doubleValue, let end = object["end"]?.doubleValue else { return nil }
        (self.start, self.end) = (start, end)
    }
}

extension TokenReductionRequest.Merging {
    fileprivate var json: JSONValue {
        var object = JSONObject()
        object["ratio"] = .number(ratio)
        object["final_ratio"] = finalRatio.map { .number($0) }
        object["sx"] = .integer(Int64(cellWidth))
        object["sy"] = .integer(Int64(cellHeight))
        object["max_downsample"] = maximumDownsample.map { .integer(Int64($0)) }
        object["levels"] = levels.map { .array($0.map { .integer(Int64($0)) }) }
        object["layers"] = .array(parts.names.map { .string($0) })
        object["destinations"] = .string(destinations.rawValue)
        object["queries_only"] = .bool(queriesOnly)
        return .object(object)
    }

    private static let keys: Set<String> = [
        "ratio", "final_ratio", "sx", "sy", "max_downsample", "levels", "layers", "destinations", "queries_only",
    ]

    fileprivate init?(json: JSONValue) {
        guard let object = json.objectValue, object.keys.allSatisfy(Self.keys.contains),
            let ratio = object["ratio"]?.doubleValue, let width = object["sx"]?.intValue,
            let height = object["sy"]?.intValue,
            let parts = object["layers"]?.arrayValue.flatMap({
                TokenMerging.Parts(names: $0.map { $0.stringValue ?? "" })
            }),
            let destinations = object["destinations"]?.stringValue.flatMap({ TokenMerging.Destinations(rawValue: $0) }),
            let queriesOnly = object["queries_only"]?.boolValue
        else { return nil }
        self.init(ratio: ratio)
        (cellWidth, cellHeight, self.parts) = (width, height, parts)
        (self.destinations, self.queriesOnly) = (destinations, queriesOnly)
        if let value = object["final_ratio"] {
            guard let number = value.doubleValue else { return nil }
            finalRatio = number
        }
        if let value = object["max_downsample"] {
            guard let number = value.intValue else { return nil }
            maximumDownsample = number
        }
        if let value = object["levels"] {
            guard let list = value.arrayValue, list.allSatisfy({ $0.intValue != nil }) else { return nil }
            levels = list.compactMap(\.intValue)
        }
    }
}

extension TokenReductionRequest.Downsampling {
    fileprivate var json: JSONValue {
        var object = JSONObject()
        object["factors"] = .array(factors.map { .number($0) })
        object["max_depth"] = maximumDepth.map { .integer(Int64($0)) }
        object["method"] = .string(interpolation.rawValue)
        object["scope"] = .string(scope.rawValue)
        return .object(object)
    }

    fileprivate init?(json: JSONValue) {
        guard let object = json.objectValue,
            object.keys.allSatisfy(["factors", "max_depth", "method", "scope"].contains),
            let list = object["factors"]?.arrayValue, list.count <= TokenPlan.levels.count,
            list.allSatisfy({ $0.doubleValue != nil }),
            let interpolation = object["method"]?.stringValue.flatMap({ TokenDownsampling.Interpolation(rawValue: $0) }),
            let scope = object["scope"]?.stringValue.flatMap({ TokenDownsampling.Scope(rawValue: $0) })
        else { return nil }
        self.init(factors: list.compactMap(\.doubleValue))
        (self.interpolation, self.scope) = (interpolation, scope)
        if let value = object["max_depth"] {
            guard let number = value.intValue else { return nil }
            maximumDepth = number
        }
    }
}

extension TokenMerging.Parts {
    private static let named: [(name: String, part: TokenMerging.Parts)] = [
        ("attention", .attention), ("cross", .textAttention), ("mlp", .feedForward),
    ]

    /// The parts by the names that requests and the command line have for them.
    public var names: [String] { Self.named.filter { contains($0.part) }.map(\.name) }

    /// nil for a name that is not known, or that comes twice.
    public init?(names: [String]) {
        self = []
        for name in names {
            guard let part = Self.named.first(where: { $0.name == name })?.part, !contains(part) else { return nil }
            insert(part)
        }
    }
}
