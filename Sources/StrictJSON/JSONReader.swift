extension JSONValue {
    /// Reads one JSON text (RFC 8259): exactly one value with white space around it. Refuses byte order marks, comments,
    /// duplicate keys, invalid UTF-8, lone surrogates, and `NaN` and `Infinity`, which Python's writer emits. `-Infinity` is
    /// read as text if the limits allow it.
    ///
    /// Time and memory are linear in the length of the text.
    public init(parsing bytes: UnsafeRawBufferPointer, limits: JSONLimits) throws(JSONError) {
        var reader = try JSONReader(bytes: bytes, limits: limits)
        self = try reader.readDocument()
    }

    /// Reads one JSON text from an array, by the same rules.
    public init(parsing bytes: [UInt8], limits: JSONLimits) throws(JSONError) {
        // The closure returns a result because `withUnsafeBytes` does not carry the type of the error.
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(JSONError) in try JSONValue(parsing: buffer, limits: limits) }
        }
        self = try result.get()
    }
}

/// Reads the members of a JSON object one by one, by the rules of `JSONValue(parsing:limits:)`. It keeps none, so memory does
/// not grow with their number.
public struct JSONMembers {
    private var reader: JSONReader
    private var isFirst = true
    private var hasEnded = false

    /// - Parameter bytes: must live while members are read.
    /// - Throws: `.tooLarge`, and `.unexpectedByte` if no object begins.
    public init(parsing bytes: UnsafeRawBufferPointer, limits: JSONLimits) throws(JSONError) {
        reader = try JSONReader(bytes: bytes, limits: limits)
        try reader.beginObject()
    }

    /// The next member; nil after the last, once the text is read to its end. A repeated key comes twice: the caller must
    /// check.
    public mutating func next() throws(JSONError) -> (key: String, value: JSONValue)? {
        guard !hasEnded else { return nil }
        if let member = try reader.readMember(isFirst: isFirst) {
            isFirst = false
            return (member.key, member.value)
        }
        hasEnded = true
        try reader.requireEnd()
        return nil
    }
}

/// The position in the text. Never looks beyond the buffer.
struct JSONReader {
    let bytes: UnsafeRawBufferPointer
    let limits: JSONLimits
    var offset = 0
    private var elements = 0
    /// Estimated bytes of the values read so far.
    private var memory = 0

    /// Estimated bytes of values, growth of arrays and tables included.
    private enum Size {
        static let value = 64
        static let member = 160
        static let string = 48
    }

    init(bytes: UnsafeRawBufferPointer, limits: JSONLimits) throws(JSONError) {
        guard bytes.count <= limits.maxBytes else {
            throw JSONError(
                .tooLarge, at: limits.maxBytes, "the text has \(bytes.count) bytes, more than the limit of \(limits.maxBytes)")
        }
        self.bytes = bytes
        self.limits = limits
    }

    /// The byte at the position; nil at the end.
    var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func readDocument() throws(JSONError) -> JSONValue {
        try skipToStart()
        let value = try readValue(depth: 0)
        try requireEnd()
        return value
    }

    private mutating func skipToStart() throws(JSONError) {
        if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF {
            throw JSONError(.unexpectedByte, at: 0, "a byte order mark is not part of JSON")
        }
        skipWhitespace()
    }

    mutating func beginObject() throws(JSONError) {
        try skipToStart()
        try check(depth: 1)
        try expect("{", "an object")
        skipWhitespace()
    }

    mutating func requireEnd() throws(JSONError) {
        skipWhitespace()
        if let byte = next {
            throw JSONError(.trailingBytes, at: offset, "the text goes on with \(JSONReader.name(byte)) after its value")
        }
    }

    /// A member of the outermost object, with the comma before it; nil at its end. Counts memory anew.
    mutating func readMember(isFirst: Bool) throws(JSONError) -> (key: String, offset: Int, value: JSONValue)? {
        memory = 0
        return try readMember(isFirst: isFirst, depth: 1)
    }

    private mutating func take(memory bytes: Int) throws(JSONError) {
        memory += bytes
        guard memory <= limits.maxMemory else {
            throw JSONError(.tooLarge, at: offset, "its values would take more than \(limits.maxMemory) bytes of memory")
        }
    }

    private mutating func readValue(depth: Int) throws(JSONError) -> JSONValue {
        elements += 1
        guard elements <= limits.maxElements else {
            throw JSONError(.tooManyElements, at: offset, "there are more than \(limits.maxElements) values")
        }
        try take(memory: Size.value)
        guard let byte = next else { throw JSONError(.unexpectedEnd, at: offset, "the text ends where a value is expected") }
        switch byte {
        case UInt8(ascii: "{"): return .object(try readObject(depth: depth + 1))
        case UInt8(ascii: "["): return .array(try readArray(depth: depth + 1))
        case UInt8(ascii: "\""): return .string(try readCountedString())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
        default: return try readWord()
        }
    }

    private mutating func readCountedString() throws(JSONError) -> String {
        let text = try readString()
        try take(memory: Size.string + text.utf8.count)
        return text
    }

    private func check(depth: Int) throws(JSONError) {
        guard depth <= limits.maxDepth else {
            throw JSONError(.tooDeep, at: offset, "values are nested deeper than \(limits.maxDepth)")
        }
    }

    private mutating func readObject(depth: Int) throws(JSONError) -> JSONObject {
        try check(depth: depth)
        var object = JSONObject()
        offset += 1
        skipWhitespace()
        while let member = try readMember(isFirst: object.isEmpty, depth: depth) {
            guard object.append(member.key, member.value) else {
                throw JSONError(
                    .duplicateKey, at: member.offset,
                    "the key \"\(JSONReader.shortened(member.key))\" occurs twice in one object")
            }
        }
        return object
    }

    /// A member, with the comma before it unless it is the first; nil after the object's end.
    private mutating func readMember(
        isFirst: Bool, depth: Int
    ) throws(JSONError) -> (key: String, offset: Int, value: JSONValue)? {
        if take("}") { return nil }
        if !isFirst {
            try expect(",", "a comma or the end of an object")
            skipWhitespace()
        }
        let keyOffset = offset
        try expect("\"", "a key in quotation marks")
        offset = keyOffset
        let key = try readCountedString()
        try take(memory: Size.member)
        skipWhitespace()
        try expect(":", "a colon after a key")
        skipWhitespace()
        let value = try readValue(depth: depth)
        skipWhitespace()
        return (key, keyOffset, value)
    }

    private mutating func readArray(depth: Int) throws(JSONError) -> [JSONValue] {
        try check(depth: depth)
        var array: [JSONValue] = []
        offset += 1
        skipWhitespace()
        if take("]") { return array }
        while true {
            array.append(try readValue(depth: depth))
            skipWhitespace()
            if take("]") { return array }
            try expect(",", "a comma or the end of an array")
            skipWhitespace()
        }
    }

    /// `true`, `false`, `null`. Refuses by name the words that other writers add.
    private mutating func readWord() throws(JSONError) -> JSONValue {
        let words: [(StaticString, JSONValue)] = [("true", .bool(true)), ("false", .bool(false)), ("null", .null)]
        for (word, value) in words where takeWord(word) { return value }
        for word: StaticString in ["NaN", "Infinity"] where takeWord(word) {
            throw JSONError(.notFinite, at: offset - word.utf8CodeUnitCount, "\(word) is not a JSON number")
        }
        throw unexpected("a value")
    }

    private mutating func skipWhitespace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: character) else { return false }
        offset += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar, _ what: String) throws(JSONError) {
        guard take(character) else { throw unexpected(what) }
    }

    mutating func takeWord(_ word: StaticString) -> Bool {
        let length = word.utf8CodeUnitCount
        guard bytes.count - offset >= length else { return false }
        for index in 0..<length where bytes[offset + index] != word.utf8Start[index] { return false }
        offset += length
        return true
    }

    func unexpected(_ what: String) -> JSONError {
        guard let byte = next else { return JSONError(.unexpectedEnd, at: offset, "the text ends where \(what) is expected") }
        return JSONError(.unexpectedByte, at: offset, "\(JSONReader.name(byte)) stands where \(what) is expected")
    }

    /// A byte for a message: printable ASCII as itself, others as a number.
    static func name(_ byte: UInt8) -> String {
        (0x21...0x7E).contains(byte) ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x" + String(byte, radix: 16)
    }

    /// Foreign text for a message: at most 64 characters, control characters made visible.
    static func shortened(_ text: String) -> String {
        let scalars = text.unicodeScalars
        let head = scalars.prefix(64).map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : String($0) }.joined()
        return scalars.dropFirst(64).isEmpty ? head : head + "…"
    }
}
