import Acceleration
import StrictJSON

extension TokenReduction {
    /// Its members as JSON, on the wire and in plans.
    var fields: [(String, JSONValue)] {
        switch self {
        case .downsampling(let method):
            [
                ("method", "todo"), ("factor", .number(method.factor)),
                ("interpolation", .string(method.interpolation.rawValue)), ("scope", .string(method.scope.rawValue)),
            ]
        case .merging(let method):
            [
                ("method", "tome"), ("ratio", .number(method.ratio)), ("sx", .integer(Int64(method.cellWidth))),
                ("sy", .integer(Int64(method.cellHeight))), ("destinations", .string(method.destinations.rawValue)),
                ("layers", .array(method.parts.names.map { .string($0) })), ("queries_only", .bool(method.queriesOnly)),
            ]
        }
    }

    fileprivate init(_ fields: WireFields, _ json: JSONValue) throws(RenderError) {
        switch try fields.string("method") {
        case "todo":
            try fields.only(["level", "method", "factor", "interpolation", "scope"])
            guard let factor = json["factor"]?.doubleValue,
                let interpolation = TokenDownsampling.Interpolation(rawValue: try fields.string("interpolation")),
                let scope = TokenDownsampling.Scope(rawValue: try fields.string("scope"))
            else { throw RenderError(.malformed, "A task's token downsampling is not one that exists.") }
            self = .downsampling(TokenDownsampling(factor: factor, interpolation: interpolation, scope: scope))
        case "tome":
            try fields.only(["level", "method", "ratio", "sx", "sy", "destinations", "layers", "queries_only"])
            let names = json["layers"]?.arrayValue?.map { $0.stringValue ?? "" } ?? []
            guard let ratio = json["ratio"]?.doubleValue, let parts = TokenMerging.Parts(names: names), !parts.isEmpty,
                let destinations = TokenMerging.Destinations(rawValue: try fields.string("destinations"))
            else { throw RenderError(.malformed, "A task's token merging is not one that exists.") }
            let sides = 1...TokenMerging.cellLimit
            self = .merging(
                TokenMerging(
                    ratio: ratio, cellWidth: try fields.integer("sx", sides), cellHeight: try fields.integer("sy", sides),
                    destinations: destinations, parts: parts, queriesOnly: try fields.flag("queries_only")))
        default:
            throw RenderError(.malformed, "A task makes tokens fewer in a way that does not exist.")
        }
    }
}

extension TokenSwitches {
    /// As it travels; nil for a plan that does nothing.
    var json: JSONValue? {
        guard self != .none else { return nil }
        var object = JSONObject()
        object["levels"] = .array(
            reductions.sorted { $0.key < $1.key }.map { level, reduction in
                var entry = JSONObject()
                entry["level"] = .integer(Int64(level))
                for (key, value) in reduction.fields { entry[key] = value }
                return .object(entry)
            })
        object["minimum"] = .integer(Int64(minimumTokens))
        // A string: a seed may need all 64 bits.
        object["seed"] = .string(String(seed))
        object["step"] = .integer(Int64(call))
        object["row"] = .integer(Int64(originRow))
        object["column"] = .integer(Int64(originColumn))
        guard !chosen.isEmpty else { return .object(object) }
        object["chosen"] = .array(
            chosen.sorted { $0.key < $1.key }.map { block, choices in
                .array(([block] + choices).map { .integer(Int64($0)) })
            })
        return .object(object)
    }

    /// - Parameter json: absent for a plan that does nothing.
    /// - Throws: `.malformed` for anything but an encoded plan that can be computed.
    init(json: JSONValue?) throws(RenderError) {
        self = .none
        guard let json else { return }
        let what = "A task's plan for fewer tokens"
        let fields = WireFields(json, what)
        try fields.only(["levels", "minimum", "seed", "step", "row", "column", "chosen"])
        guard let levels = json["levels"]?.arrayValue, levels.count <= TokenSwitches.levels.count,
            let seed = UInt64(try fields.string("seed"))
        else { throw RenderError(.malformed, "\(what) has no levels, or no seed.") }
        for entry in levels {
            let fields = WireFields(entry, what)
            let level = try fields.integer("level", 1...8)
            guard reductions[level] == nil else { throw RenderError(.malformed, "\(what) names a level twice.") }
            reductions[level] = try TokenReduction(fields, entry)
        }
        self.seed = seed
        minimumTokens = try fields.integer("minimum", 0...TokenSwitches.minimumLimit)
        call = try fields.integer("step", 0...TokenSwitches.callLimit)
        originRow = try fields.integer("row", 0...TokenSwitches.originLimit)
        originColumn = try fields.integer("column", 0...TokenSwitches.originLimit)
        if let rows = fields["chosen"] { chosen = try Self.chosen(rows.arrayValue ?? [], what) }
        if let problem { throw RenderError(.malformed, problem) }
    }

    /// - Parameter rows: one for each block: its number, then its choices. Whether these fit its cells is known when it is
    ///   computed.
    private static func chosen(_ rows: [JSONValue], _ what: String) throws(RenderError) -> [Int: [Int]] {
        var chosen: [Int: [Int]] = [:]
        for row in rows {
            let numbers = row.arrayValue?.map { $0.intValue ?? -1 } ?? []
            let limit = TokenMerging.cellLimit * TokenMerging.cellLimit
            guard let block = numbers.first, chosen[block] == nil, numbers.allSatisfy({ (0..<limit).contains($0) }) else {
                throw RenderError(.malformed, "\(what) has destinations that are no rows of a block and its choices.")
            }
            chosen[block] = Array(numbers.dropFirst())
        }
        guard !chosen.isEmpty else { throw RenderError(.malformed, "\(what) names no block that chooses destinations.") }
        return chosen
    }
}
