internal import StrictJSON

/// Reads a metadata object strictly: a missing, mistyped or out-of-range field is an error naming it. Unknown fields are
/// skipped, so that a newer minor version can add some.
struct FieldReader {
    private let object: JSONObject
    private let type: MessageType

    init(_ bytes: [UInt8], of type: MessageType) throws(MessageError) {
        self.type = type
        do {
            let value = try JSONValue(parsing: bytes, limits: .wire)
            guard let object = value.objectValue else {
                throw MessageError(.metadata, "\(type): the metadata is not an object")
            }
            self.object = object
        } catch let error as JSONError {
            throw MessageError(.metadata, "\(type): \(error.message)")
        } catch let error as MessageError {
            throw error
        } catch {
            throw MessageError(.metadata, "\(type): \(error)")
        }
    }

    private func bad(_ key: String, _ expected: String) -> MessageError {
        MessageError(.metadata, "\(type): '\(key)' must be \(expected)")
    }

    func string(_ key: String, maxBytes: Int = WireLimits.nameBytes) throws(MessageError) -> String {
        guard let text = object[key]?.stringValue, text.utf8.count <= maxBytes else {
            throw bad(key, "a text of at most \(maxBytes) bytes")
        }
        return text
    }

    func optionalString(_ key: String) throws(MessageError) -> String? {
        object[key] == nil ? nil : try string(key)
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(MessageError) -> Int {
        guard let value = object[key]?.intValue, range.contains(value) else {
            throw bad(key, "an integer from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func optionalInteger(_ key: String, _ range: ClosedRange<Int>) throws(MessageError) -> Int? {
        object[key] == nil ? nil : try integer(key, range)
    }

    /// A duration in milliseconds, at most a day.
    func milliseconds(_ key: String) throws(MessageError) -> Int { try integer(key, 0...86_400_000) }

    func number(_ key: String, _ range: ClosedRange<Double>) throws(MessageError) -> Double {
        guard let value = object[key]?.doubleValue, range.contains(value) else {
            throw bad(key, "a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func optionalNumber(_ key: String, _ range: ClosedRange<Double>) throws(MessageError) -> Double? {
        object[key] == nil ? nil : try number(key, range)
    }

    func identifier(_ key: String) throws(MessageError) -> UniqueID {
        guard let id = UniqueID(hex: try string(key)) else { throw bad(key, "32 hexadecimal digits") }
        return id
    }

    /// 64 lower-case hexadecimal digits.
    func digest(_ key: String) throws(MessageError) -> String {
        let text = try string(key)
        guard FieldReader.isDigest(text) else { throw bad(key, "64 hexadecimal digits") }
        return text
    }

    func optionalDigest(_ key: String) throws(MessageError) -> String? {
        object[key] == nil ? nil : try digest(key)
    }

    func strings(_ key: String, maxCount: Int, maxBytes: Int = WireLimits.textBytes) throws(MessageError) -> [String] {
        guard let array = object[key]?.arrayValue, array.count <= maxCount else {
            throw bad(key, "a list of at most \(maxCount) texts")
        }
        var texts: [String] = []
        for element in array {
            guard let text = element.stringValue, text.utf8.count <= maxBytes else {
                throw bad(key, "a list of texts of at most \(maxBytes) bytes")
            }
            texts.append(text)
        }
        return texts
    }

    func digests(_ key: String, maxCount: Int) throws(MessageError) -> [String] {
        let texts = try strings(key, maxCount: maxCount)
        guard texts.allSatisfy(FieldReader.isDigest) else { throw bad(key, "a list of 64 hexadecimal digits each") }
        return texts
    }

    func leases(_ key: String) throws(MessageError) -> [UInt64] {
        guard let array = object[key]?.arrayValue, array.count <= WireLimits.leasesPerList else {
            throw bad(key, "a list of at most \(WireLimits.leasesPerList) leases")
        }
        var leases: [UInt64] = []
        for element in array {
            guard let value = element.intValue, value > 0 else { throw bad(key, "a list of positive integers") }
            leases.append(UInt64(value))
        }
        return leases
    }

    func object(_ key: String) throws(MessageError) -> JSONValue {
        guard let value = object[key], value.objectValue != nil else { throw bad(key, "an object") }
        return value
    }

    func choice<Value: RawRepresentable<String> & CaseIterable>(_ key: String) throws(MessageError) -> Value {
        guard let value = Value(rawValue: try string(key)) else {
            let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
            throw bad(key, "one of \(names)")
        }
        return value
    }

    private static func isDigest(_ text: String) -> Bool {
        text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
}

extension JSONObject {
    mutating func put(_ key: String, _ value: String) { append(key, .string(value)) }
    mutating func put(_ key: String, _ value: Int) { append(key, .integer(Int64(value))) }
    mutating func put(_ key: String, _ value: Double) { append(key, .number(value)) }
    mutating func put(_ key: String, _ values: [String]) { append(key, .array(values.map { .string($0) })) }
    mutating func put(_ key: String, leases: [UInt64]) {
        append(key, .array(leases.map { .integer(Int64(clamping: $0)) }))
    }
    mutating func putIfPresent(_ key: String, _ value: String?) {
        if let value { put(key, value) }
    }
}

extension String {
    /// The text cut at a character border to at most so many bytes, for texts that come from errors.
    func cut(toBytes limit: Int = WireLimits.textBytes) -> String {
        guard utf8.count > limit else { return self }
        var end = utf8.index(startIndex, offsetBy: limit)
        while end > startIndex, String.Index(end, within: self) == nil { end = utf8.index(before: end) }
        return String(self[..<end])
    }
}
