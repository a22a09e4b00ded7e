import Acceleration
import Sentences
import StrictJSON

extension TokenReduction {
    /// A level's entry on the wire and in plans.
    func object(level: Int) -> JSONObject {
        let members: [(String, JSONValue)] =
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
        var object = JSONObject()
        object["level"] = .integer(Int64(level))
        for (key, value) in members { object[key] = value }
        return object
    }

    fileprivate init(_ fields: WireFields) throws(RenderError) {
        switch try fields.string("method") {
        case "todo":
            try fields.only(["level", "method", "factor", "interpolation", "scope"])
            self = .downsampling(
                TokenDownsampling(
                    factor: try fields.required("factor", .number(1...TokenDownsampling.factorLimit)),
                    interpolation: try fields.required("interpolation", .choice()),
                    scope: try fields.required("scope", .choice())))
        case "tome":
            try fields.only(["level", "method", "ratio", "sx", "sy", "destinations", "layers", "queries_only"])
            let names = try fields.required("layers", .list(of: .string(), count: 1...3))
            guard let parts = TokenMerging.Parts(names: names) else {
                throw .malformed("A task merges tokens in unknown parts of the blocks.")
            }
            let sides = 1...TokenMerging.cellLimit
            self = .merging(
                TokenMerging(
                    ratio: try fields.required("ratio", .number(0...1)), cellWidth: try fields.integer("sx", sides),
                    cellHeight: try fields.integer("sy", sides),
                    destinations: try fields.required("destinations", .choice()), parts: parts,
                    queriesOnly: try fields.flag("queries_only")))
        default: throw .malformed("A task reduces tokens by an unknown method.")
        }
    }
}

extension TokenSwitches {
    /// The switches for the wire; nil if all tokens stay.
    var json: JSONValue? {
        guard self != .none else { return nil }
        var object = JSONObject()
        object["levels"] = .array(reductions.sorted { $0.key < $1.key }.map { .object($1.object(level: $0)) })
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

    /// - Parameter json: nil if all tokens stay.
    /// - Throws: `.malformed` for switches that `json` does not write or that cannot be computed.
    init(json: JSONValue?) throws(RenderError) {
        self = .none
        guard let json else { return }
        let what = "A task's reduction of tokens"
        let fields = WireFields(json, what)
        try fields.only(["levels", "minimum", "seed", "step", "row", "column", "chosen"])
        guard let seed = UInt64(try fields.string("seed")) else { throw .malformed("\(what) has no seed.") }
        for entry in try fields.required("levels", .list(of: .object(), count: 0...TokenSwitches.levels.count)) {
            let fields = WireFields(.object(entry), what)
            let level = try fields.integer("level", 1...8)
            guard reductions[level] == nil else { throw .malformed("\(what) names a level twice.") }
            reductions[level] = try TokenReduction(fields)
        }
        self.seed = seed
        minimumTokens = try fields.integer("minimum", 0...TokenSwitches.minimumLimit)
        call = try fields.integer("step", 0...TokenSwitches.callLimit)
        originRow = try fields.integer("row", 0...TokenSwitches.originLimit)
        originColumn = try fields.integer("column", 0...TokenSwitches.originLimit)
        // One row for each block: its number, then its choices. Only the computation knows whether these fit the cells.
        let row = JSONShape.list(of: .integer(0...TokenMerging.cellLimit * TokenMerging.cellLimit - 1), count: 1...Int.max)
        for numbers in try fields.optional("chosen", .list(of: row, count: 1...Int.max)) ?? [] {
            guard chosen.updateValue(Array(numbers.dropFirst()), forKey: numbers[0]) == nil else {
                throw .malformed("\(what) names a block twice.")
            }
        }
        if let problem { throw .malformed(Sentence(problem)) }
    }
}
