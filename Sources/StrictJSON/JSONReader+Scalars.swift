/// Strings and numbers.
extension JSONReader {
    /// Longer numbers are refused. The shortest text that identifies any double has at most 24 bytes.
    static let maxNumberBytes = 1024

    /// A string from its opening quotation mark on.
    mutating func readString() throws(JSONError) -> String {
        let start = offset
        offset += 1
        var runStart = offset
        var text = ""
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                text += try validated(runStart..<offset)
                offset += 1
                return text
            case UInt8(ascii: "\\"):
                text += try validated(runStart..<offset)
                text.unicodeScalars.append(try readEscape())
                runStart = offset
            case 0..<0x20:
                throw JSONError(
                    .invalidString, at: offset, "a string holds the control character \(JSONReader.name(byte)) unescaped")
            default:
                offset += 1
            }
        }
        throw JSONError(.unexpectedEnd, at: offset, "the string that begins at byte \(start) does not end")
    }

    /// The text of a run without escapes, UTF-8 checked.
    private func validated(_ run: Range<Int>) throws(JSONError) -> String {
        if run.isEmpty { return "" }
        let slice = UnsafeRawBufferPointer(rebasing: bytes[run]).bindMemory(to: UInt8.self)
        if let text = String(validating: slice, as: UTF8.self) { return text }
        // Slow path, for the message only: the first sequence that does not decode.
        var iterator = slice.makeIterator()
        var decoder = UTF8()
        var good = 0
        while case .scalarValue(let scalar) = decoder.decode(&iterator) { good += UTF8.width(scalar) }
        let bad = run.lowerBound + good
        throw JSONError(.invalidUTF8, at: bad, "\(JSONReader.name(bytes[bad])) does not continue valid UTF-8")
    }

    /// An escape from its backslash on.
    private mutating func readEscape() throws(JSONError) -> Unicode.Scalar {
        let start = offset
        offset += 1
        guard let byte = next else { throw JSONError(.unexpectedEnd, at: offset, "the text ends inside an escape") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""): return "\""
        case UInt8(ascii: "\\"): return "\\"
        case UInt8(ascii: "/"): return "/"
        case UInt8(ascii: "b"): return "\u{08}"
        case UInt8(ascii: "f"): return "\u{0C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try readUnicodeEscape(start: start)
        default: throw JSONError(.invalidString, at: start, "there is no escape with \(JSONReader.name(byte))")
        }
    }

    /// Four hexadecimal digits, or a pair of them with a second `\u` between for scalars beyond U+FFFF.
    private mutating func readUnicodeEscape(start: Int) throws(JSONError) -> Unicode.Scalar {
        let first = try readFourHexDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        // Only surrogates are no scalars: a second half must follow the first half 0xD800...0xDBFF.
        guard first < 0xDC00, takeWord("\\u") else {
            throw JSONError(.invalidString, at: start, "an escape holds half a surrogate pair")
        }
        let second = try readFourHexDigits()
        guard (0xDC00...0xDFFF).contains(second),
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))
        else { throw JSONError(.invalidString, at: start, "an escape holds half a surrogate pair") }
        return scalar
    }

    private mutating func readFourHexDigits() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = next else { throw JSONError(.unexpectedEnd, at: offset, "the text ends inside an escape") }
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw JSONError(
                    .invalidString, at: offset, "\(JSONReader.name(byte)) stands where a hexadecimal digit is expected")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    /// A number from its sign or first digit on.
    mutating func readNumber() throws(JSONError) -> JSONValue {
        let start = offset
        let negative = next == UInt8(ascii: "-")
        if negative {
            offset += 1
            if takeWord("Infinity") {
                if limits.readsNegativeInfinity { return .string("-Infinity") }
                throw JSONError(.notFinite, at: start, "-Infinity is not a JSON number")
            }
        }
        let wholeStart = offset
        try skipDigits()
        guard bytes[wholeStart] != UInt8(ascii: "0") || offset == wholeStart + 1 else {
            throw JSONError(.invalidNumber, at: start, "a number begins with a zero too many")
        }
        var isWhole = true
        if next == UInt8(ascii: ".") {
            isWhole = false
            offset += 1
            try skipDigits()
        }
        if next == UInt8(ascii: "e") || next == UInt8(ascii: "E") {
            isWhole = false
            offset += 1
            if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { offset += 1 }
            try skipDigits()
        }
        guard offset - start <= JSONReader.maxNumberBytes else {
            throw JSONError(.invalidNumber, at: start, "a number has more than \(JSONReader.maxNumberBytes) characters")
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isWhole, let value = Int64(text), !(negative && value == 0) { return .integer(value) }
        if isWhole, !negative, let value = UInt64(text) { return .whole(value) }
        guard let value = Double(text) else { throw JSONError(.invalidNumber, at: start, "a number cannot be read") }
        guard value.isFinite else { throw JSONError(.notFinite, at: start, "a number is beyond what a double can hold") }
        return .number(value)
    }

    /// One digit or more.
    private mutating func skipDigits() throws(JSONError) {
        let start = offset
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { offset += 1 }
        guard offset > start else {
            var error = unexpected("a digit")
            if error.code == .unexpectedByte { error.code = .invalidNumber }
            throw error
        }
    }
}
