import StrictJSON

/// Reads a configuration file. If a value is of the wrong kind or out of range, the error names the key, the value and the
/// file.
///
/// An absent key takes the documented default of its library. A key that is `null` is not absent.
typealias ConfigurationReader = JSONFields<ModelError>

extension ConfigurationReader {
    /// The largest number of channels, layers or tokens in a network. It keeps products of a few extents from overflow.
    static var largestExtent: Int { 1 << 20 }

    init(_ json: JSONValue, file: String) throws(ModelError) {
        guard let object = json.objectValue else {
            throw ModelError(.configuration, "\(file) must be a JSON object, not \(json.kindName).")
        }
        self.init(object) { error in
            let value = error.value.map { String($0.canonicalText.prefix(80)) } ?? "absent"
            let need = Self.described(error.need, isElement: error.element != nil)
            return ModelError(.configuration, "\(file): \"\(error.key)\" is \(value); \(need).")
        }
    }

    private static func described(_ need: JSONNeed, isElement: Bool) -> String {
        switch need {
        case .number(let range): "it must be a number" + (range.lowerBound > 0 ? " above 0" : "")
        case .choice(let known): "supported is only \(known.joined(separator: ", "))"
        case .list(.choice(let known), _):
            (isElement ? "supported are only " : "it must be a list of block types, known are ")
                + known.joined(separator: ", ")
        case .list(.number, let count): "it must be null or a list of \(count.upperBound) numbers"
        case .list: "it must be a list of 1 to 64 whole numbers above zero"
        case .words(let words): words
        default: "it must be \(need)"
        }
    }

    /// An error about the value at `key`.
    func fault(_ key: String, _ what: String) -> ModelError { fault(key, .words(what)) }

    func integer(
        _ key: String, default fallback: Int, in range: ClosedRange<Int> = 1...largestExtent
    ) throws(ModelError) -> Int {
        try optional(key, .integer(range)) ?? fallback
    }

    /// A whole number; nil if the key is absent or `null`.
    func optionalInteger(_ key: String) throws(ModelError) -> Int? {
        self[key]?.isNull ?? true ? nil : try required(key, .integer(1...Self.largestExtent))
    }

    /// A list of whole numbers.
    func integers(_ key: String, default fallback: [Int]) throws(ModelError) -> [Int] {
        try optional(key, .list(of: .integer(1...Self.largestExtent), count: 1...64)) ?? fallback
    }

    /// One whole number for all of `count` levels, or a list with one for each.
    func integerPerLevel(_ key: String, default fallback: Int, count: Int) throws(ModelError) -> [Int] {
        guard self[key]?.arrayValue != nil else {
            return Array(repeating: try integer(key, default: fallback), count: count)
        }
        let list = try integers(key, default: [])
        guard list.count == count else { throw fault(key, "it must have one number for each of the \(count) blocks") }
        return list
    }

    /// One type for each of the `levels` levels.
    func blockTypes<Kind: RawRepresentable<String> & CaseIterable>(
        _ key: String, default fallback: [Kind], levels: Int
    ) throws(ModelError) -> [Kind] {
        let kinds = try optional(key, .list(of: .choice(), count: 1...64)) ?? fallback
        guard kinds.count == levels else {
            throw fault(key, "it must have one block for each of the \(levels) block_out_channels")
        }
        return kinds
    }

    /// A number above zero.
    func positiveNumber(_ key: String, default fallback: Double) throws(ModelError) -> Double {
        try optional(key, .number(.leastNonzeroMagnitude ... .greatestFiniteMagnitude)) ?? fallback
    }

    /// A list of `count` numbers; nil if the key is absent or `null`.
    func optionalNumbers(_ key: String, count: Int) throws(ModelError) -> [Double]? {
        let finite = -Double.greatestFiniteMagnitude ... .greatestFiniteMagnitude
        return self[key]?.isNull ?? true ? nil : try required(key, .list(of: .number(finite), count: count...count))
    }

    /// Requires the key to be absent or to have one of these values, because the option behind it is not supported.
    ///
    /// - Parameter inLists: whether a list of such values means the same, one value for each block or each axis.
    func require(_ key: String, _ allowed: JSONValue..., inLists: Bool = false) throws(ModelError) {
        guard let value = self[key] else { return }
        func isAllowed(_ value: JSONValue) -> Bool {
            allowed.contains { candidate in
                if let a = candidate.doubleValue, let b = value.doubleValue { return a == b }
                return candidate == value
            }
        }
        let list = inLists ? value.arrayValue ?? [] : []
        guard isAllowed(value) || !list.isEmpty && list.allSatisfy(isAllowed) else {
            throw fault(key, "supported is only \(allowed.map(\.canonicalText).joined(separator: " or "))")
        }
    }

    /// Keys that are neither read nor known to have no effect, sorted. diffusers ignores them too; users get a note.
    ///
    /// - Parameter known: the keys that are read, and options of the library that are refused unless they have their default.
    func unknownKeys(otherThan known: Set<String>) -> [String] {
        members.keys.filter { key in
            !known.contains(key) && !bookkeeping.contains(key) && !key.hasPrefix("_")
                && members[key]?.isNull == false
        }.sorted()
    }
}

/// Settings of training and of saving that files carry and no network reads: those of averaged weights (diffusers'
/// `EMAModel`), and keys that transformers writes. Names that begin with an underscore are the library's notes.
private let bookkeeping: Set<String> = [
    "architectures", "decay", "dtype", "inv_gamma", "min_decay", "model_type", "optimization_step", "power", "torch_dtype",
    "transformers_version", "update_after_step", "use_ema_warmup",
]
