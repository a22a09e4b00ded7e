import StrictJSON

/// Reads one network's configuration file. Absent keys take the defaults that diffusers and transformers document; a value of the
/// wrong kind or of an unknown name is an error that names key and file.
struct ConfigurationReader {
    let file: String
    private let values: JSONObject

    init(_ json: JSONValue, file: String) throws(ModelError) {
        guard let object = json.objectValue else {
            throw ModelError(.badConfiguration, "\(file) does not hold a JSON object, so it is no configuration.")
        }
        self.file = file
        values = object
    }

    /// The value of `key`; nil when it is absent or null.
    private func value(_ key: String) -> JSONValue? { values[key].flatMap { $0.isNull ? nil : $0 } }

    func isPresent(_ key: String) -> Bool { value(key) != nil }

    private func wrong(_ key: String, _ what: String) -> ModelError {
        ModelError(.badConfiguration, "\(file): \"\(key)\" must be \(what).")
    }

    /// A whole number within `range`.
    func integer(_ key: String, default fallback: Int? = nil, in range: ClosedRange<Int> = 1...65536) throws(ModelError) -> Int
    {
        guard let value = value(key) else {
            guard let fallback else { throw ModelError(.badConfiguration, "\(file) lacks \"\(key)\".") }
            return fallback
        }
        guard let number = value.intValue, range.contains(number) else {
            throw wrong(key, "a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// A list of whole numbers, or nil when the key is absent.
    func integers(_ key: String, in range: ClosedRange<Int> = 1...65536) throws(ModelError) -> [Int]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.arrayValue, !elements.isEmpty, elements.count <= 16 else {
            throw wrong(key, "a list of whole numbers")
        }
        var numbers: [Int] = []
        for element in elements {
            guard let number = element.intValue, range.contains(number) else {
                throw wrong(key, "a list of whole numbers from \(range.lowerBound) to \(range.upperBound)")
            }
            numbers.append(number)
        }
        return numbers
    }

    /// One number for all `count` levels, or a list with one for each.
    func perLevel(_ key: String, count: Int, default fallback: Int?) throws(ModelError) -> [Int] {
        if value(key)?.arrayValue == nil {
            return Array(repeating: try integer(key, default: fallback), count: count)
        }
        let numbers = try integers(key) ?? []
        guard numbers.count == count else { throw wrong(key, "one number or a list of \(count), as there are \(count) blocks") }
        return numbers
    }

    /// A finite number.
    func number(_ key: String, default fallback: Double) throws(ModelError) -> Double {
        guard let value = value(key) else { return fallback }
        guard let number = value.doubleValue, number.isFinite else { throw wrong(key, "a number") }
        return number
    }

    /// A list of finite numbers; nil when the key is absent or null.
    func numbers(_ key: String, count: Int) throws(ModelError) -> [Float]? {
        guard let value = value(key) else { return nil }
        guard let elements = value.arrayValue, elements.count == count else { throw wrong(key, "a list of \(count) numbers") }
        var numbers: [Float] = []
        for element in elements {
            guard let number = element.doubleValue, Float(number).isFinite else {
                throw wrong(key, "a list of \(count) numbers")
            }
            numbers.append(Float(number))
        }
        return numbers
    }

    func flag(_ key: String, default fallback: Bool) throws(ModelError) -> Bool {
        guard let value = value(key) else { return fallback }
        guard let flag = value.boolValue else { throw wrong(key, "true or false") }
        return flag
    }

    func string(_ key: String, default fallback: String) throws(ModelError) -> String {
        guard let value = value(key) else { return fallback }
        guard let text = value.stringValue else { throw wrong(key, "a string") }
        return text
    }

    func strings(_ key: String, default fallback: [String]) throws(ModelError) -> [String] {
        guard let value = value(key) else { return fallback }
        guard let elements = value.arrayValue, !elements.isEmpty, elements.count <= 16 else {
            throw wrong(key, "a list of strings")
        }
        var texts: [String] = []
        for element in elements {
            guard let text = element.stringValue else { throw wrong(key, "a list of strings") }
            texts.append(text)
        }
        return texts
    }

    /// Refuses every value but `accepted` (and its absence) for options that change results and are not implemented.
    func require(_ key: String, _ accepted: JSONValue...) throws(ModelError) {
        guard let value = value(key), !accepted.contains(value) else { return }
        let shown = String(decoding: value.canonicalBytes().prefix(80), as: UTF8.self)
        throw ModelError(.unsupported, "\(file): \"\(key)\" is \(shown), which Patchloom does not support.")
    }
}
