internal import StrictJSON

/// Reads a metadata object strictly: a missing, mistyped or out-of-range field is an error naming it. Unknown fields are
/// skipped, so that a newer minor version can add some.
typealias FieldReader = JSONFields<MessageError>

extension FieldReader {
    init(_ bytes: [UInt8], of type: MessageType) throws(MessageError) {
        let value: JSONValue
        do { value = try JSONValue(parsing: bytes, limits: .wire) } catch {
            throw MessageError(.metadata, "\(type): \(error.message)")
        }
        guard let object = value.objectValue else {
            throw MessageError(.metadata, "\(type): the metadata is not an object")
        }
        self.init(object) { MessageError(.metadata, "\(type): '\($0.key)' must be \(Self.described($0))") }
    }

    private static func described(_ error: JSONFieldError) -> String {
        switch (error.need, isElement: error.element != nil) {
        case (.choice, _) where (error.value?.stringValue?.utf8.count ?? .max) > WireLimits.nameBytes:
            "\(JSONNeed.string(maxBytes: WireLimits.nameBytes))"
        case (.integer(let range), _): "an integer from \(range.lowerBound) to \(range.upperBound)"
        case (.list(.string(let limit), _), isElement: true): "a list of texts of at most \(limit) bytes"
        case (.list(.string, let count), _): "a list of at most \(count.upperBound) texts"
        case (.list, isElement: true): "a list of positive integers"
        case (.list(_, let count), _): "a list of at most \(count.upperBound) leases"
        case (let need, _): "\(need)"
        }
    }

    func string(_ key: String, maxBytes: Int = WireLimits.nameBytes) throws(MessageError) -> String {
        try required(key, .string(maxBytes: maxBytes))
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(MessageError) -> Int { try required(key, .integer(range)) }

    /// A duration in milliseconds, at most a day.
    func milliseconds(_ key: String) throws(MessageError) -> Int { try integer(key, 0...86_400_000) }

    func identifier(_ key: String) throws(MessageError) -> UniqueID {
        guard let id = UniqueID(hex: try string(key)) else { throw fault(key, .words("32 hexadecimal digits")) }
        return id
    }

    /// 64 lower-case hexadecimal digits.
    func digest(_ key: String) throws(MessageError) -> String {
        let text = try string(key)
        guard Self.isDigest(text) else { throw fault(key, .words("64 hexadecimal digits")) }
        return text
    }

    func optionalDigest(_ key: String) throws(MessageError) -> String? { self[key] == nil ? nil : try digest(key) }

    func strings(_ key: String, maxCount: Int) throws(MessageError) -> [String] {
        try required(key, .list(of: .string(maxBytes: WireLimits.textBytes), count: 0...maxCount))
    }

    func digests(_ key: String, maxCount: Int) throws(MessageError) -> [String] {
        let texts = try strings(key, maxCount: maxCount)
        guard texts.allSatisfy(Self.isDigest) else { throw fault(key, .words("a list of 64 hexadecimal digits each")) }
        return texts
    }

    func leases(_ key: String) throws(MessageError) -> [UInt64] {
        try required(key, .list(of: .integer(1...Int.max), count: 0...WireLimits.leasesPerList)).map { UInt64($0) }
    }

    func object(_ key: String) throws(MessageError) -> JSONValue { .object(try required(key, .object())) }

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
