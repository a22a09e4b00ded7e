public import Acceleration
import StrictJSON

extension TokenReductionRequest {
    /// The request's own object, with absent keys for defaults.
    var json: JSONValue {
        var object = JSONObject()
        object["merging"] = merging?.json
        object["downsampling"] = downsampling?.json
        object["start"] = .number(start)
        object["end"] = .number(end)
        object["stages"] = stages == .all ? nil : .string(stages.rawValue)
        return .object(object)
    }

    /// nil for anything but such an object, also for keys that are not known.
    init?(json: JSONValue) {
        self.init()
        guard let object = json.objectValue,
            object.keys.allSatisfy(["merging", "downsampling", "start", "end", "stages"].contains)
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
        if let value = object["stages"] {
            guard let stages = value.stringValue.flatMap({ Stages(rawValue: $0) }) else { return nil }
            self.stages = stages
        }
    }
}

extension TokenReductionRequest.Merging {
    fileprivate var json: JSONValue {
        var object = JSONObject()
        object["ratio"] = .number(ratio)
        object["final_ratio"] = finalRatio.map { .number($0) }
        object["later_ratio"] = laterRatio.map { .number($0) }
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
        "ratio", "final_ratio", "later_ratio", "sx", "sy", "max_downsample", "levels", "layers", "destinations", "queries_only",
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
        if let value = object["later_ratio"] {
            guard let number = value.doubleValue else { return nil }
            laterRatio = number
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
