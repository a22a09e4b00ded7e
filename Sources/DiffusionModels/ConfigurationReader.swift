import StrictJSON

/// Reads a configuration file. If a value is of the wrong kind or out of range, the error names the key, the value and the
/// file.
///
/// An absent key takes the documented default of its library. A key that is `null` is not absent.
struct ConfigurationReader {
    let file: String
    private let object: JSONObject

    /// The largest number of channels, layers or tokens in a network. It keeps products of a few extents from overflow.
    static let largestExtent = 1 << 20

    init(_ json: JSONValue, file: String) throws(ModelError) {
        guard let object = json.objectValue else {
            throw ModelError(.configuration, "\(file) must be a JSON object, not \(json.kindName).")
        }
        self.object = object
        self.file = file
    }

    func value(_ key: String) -> JSONValue? { object[key] }

    /// An error about the value at `key`.
    func fault(_ key: String, _ what: String) -> ModelError {
        let value = object[key].map { String($0.canonicalText.prefix(80)) } ?? "absent"
        return ModelError(.configuration, "\(file): \"\(key)\" is \(value); \(what).")
    }

    func integer(_ key: String, default fallback: Int, in range: ClosedRange<Int>? = nil) throws(ModelError) -> Int {
        let range = range ?? 1...ConfigurationReader.largestExtent
        guard let value = object[key] else { return fallback }
        guard let number = value.intValue, range.contains(number) else {
            throw fault(key, "it must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A whole number; nil if the key is absent or `null`.
    func optionalInteger(_ key: String) throws(ModelError) -> Int? {
        guard let value = object[key], !value.isNull else { return nil }
        return try integer(key, default: value.intValue ?? 0)
    }

    /// A list of whole numbers.
    func integers(_ key: String, default fallback: [Int]) throws(ModelError) -> [Int] {
        guard let value = object[key] else { return fallback }
        guard let numbers = value.arrayValue?.map({ $0.intValue ?? 0 }), (1...64).contains(numbers.count),
            numbers.allSatisfy({ (1...ConfigurationReader.largestExtent).contains($0) })
        else { throw fault(key, "it must be a list of 1 to 64 whole numbers above zero") }
        return numbers
    }

    /// One whole number for all of `count` levels, or a list with one for each.
    func integerPerLevel(_ key: String, default fallback: Int, count: Int) throws(ModelError) -> [Int] {
        guard object[key]?.arrayValue != nil else {
            return Array(repeating: try integer(key, default: fallback), count: count)
        }
        let list = try integers(key, default: [])
        guard list.count == count else { throw fault(key, "it must have one number for each of the \(count) blocks") }
        return list
    }

    /// A number above zero.
    func positiveNumber(_ key: String, default fallback: Double) throws(ModelError) -> Double {
        guard let value = object[key] else { return fallback }
        guard let number = value.doubleValue, number > 0, number.isFinite else {
            throw fault(key, "it must be a number above 0")
        }
        return number
    }

    func number(_ key: String, default fallback: Double) throws(ModelError) -> Double {
        guard let value = object[key] else { return fallback }
        guard let number = value.doubleValue, number.isFinite else { throw fault(key, "it must be a number") }
        return number
    }

    /// A list of `count` numbers; nil if the key is absent or `null`.
    func optionalNumbers(_ key: String, count: Int) throws(ModelError) -> [Double]? {
        guard let value = object[key], !value.isNull else { return nil }
        let numbers = value.arrayValue?.compactMap(\.doubleValue) ?? []
        guard numbers.count == count, value.arrayValue?.count == count, numbers.allSatisfy(\.isFinite) else {
            throw fault(key, "it must be null or a list of \(count) numbers")
        }
        return numbers
    }

    func flag(_ key: String, default fallback: Bool) throws(ModelError) -> Bool {
        guard let value = object[key] else { return fallback }
        guard let flag = value.boolValue else { throw fault(key, "it must be true or false") }
        return flag
    }

    /// A list of names from a closed set.
    func choices<Choice: RawRepresentable & CaseIterable>(
        _ key: String, default fallback: [Choice]
    ) throws(ModelError) -> [Choice] where Choice.RawValue == String {
        guard let value = object[key] else { return fallback }
        let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        guard let list = value.arrayValue, (1...64).contains(list.count) else {
            throw fault(key, "it must be a list of block types, known are \(known)")
        }
        var choices: [Choice] = []
        for element in list {
            guard let name = element.stringValue, let choice = Choice(rawValue: name) else {
                throw fault(key, "supported are only \(known)")
            }
            choices.append(choice)
        }
        return choices
    }

    /// A name from a closed set.
    func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, default fallback: Choice
    ) throws(ModelError) -> Choice where Choice.RawValue == String {
        guard let value = object[key] else { return fallback }
        guard let name = value.stringValue, let choice = Choice(rawValue: name) else {
            throw fault(key, "supported is only \(Choice.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }

    /// Requires the key to be absent or to have one of these values, because the option behind it is not supported.
    ///
    /// - Parameter inLists: whether a list of such values means the same, one value for each block or each axis.
    func require(_ key: String, _ allowed: JSONValue..., inLists: Bool = false) throws(ModelError) {
        guard let value = object[key] else { return }
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
        object.keys.filter { key in
            !known.contains(key) && !ConfigurationReader.bookkeeping.contains(key) && !key.hasPrefix("_")
                && object[key]?.isNull == false
        }.sorted()
    }

    /// Settings of training and of saving that files carry and no network reads: those of averaged weights (diffusers'
    /// `EMAModel`), and keys that transformers writes. Names that begin with an underscore are the library's notes.
    private static let bookkeeping: Set<String> = [
        "architectures", "decay", "dtype", "inv_gamma", "min_decay", "model_type", "optimization_step", "power", "torch_dtype",
        "transformers_version", "update_after_step", "use_ema_warmup",
    ]
}
