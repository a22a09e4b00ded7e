import StrictJSON
import Testing

func parse(_ text: String, limits: JSONLimits = .config) throws(JSONError) -> JSONValue {
    try JSONValue(parsing: Array(text.utf8), limits: limits)
}

func refusal(_ bytes: [UInt8], limits: JSONLimits = .config) -> JSONError? {
    do {
        _ = try JSONValue(parsing: bytes, limits: limits)
        return nil
    } catch { return error }
}

@Suite struct ReaderTests {
    @Test func everyKindIsRead() throws {
        let value = try parse(" {\"a\": [null, true, false, -12, 1.5, \"x\"],\t\"b\": {}, \"c\":[]}\r\n")
        #expect(value == ["a": [.null, true, false, -12, 1.5, "x"], "b": [:], "c": []])
        #expect(value["a"]?.arrayValue?.count == 6)
        #expect(value["a"]?.arrayValue?[3].intValue == -12)
        #expect(value["a"]?.arrayValue?[4].doubleValue == 1.5)
        #expect(value["missing"] == nil)
    }

    /// Python's name for minus infinity is read as text if the limits allow it, and is refused otherwise. Its other names are
    /// always refused.
    @Test func minusInfinityIsTextInSchedulerConfigurations() throws {
        let text = #"{"lambda_min_clipped": -Infinity}"#
        #expect(try parse(text, limits: .schedulerConfig) == ["lambda_min_clipped": "-Infinity"])
        #expect(refusal(Array(text.utf8))?.code == .notFinite)
        for other in ["Infinity", "NaN", "[1e999]", "-Inf", "--Infinity"] {
            #expect(refusal(Array(other.utf8), limits: .schedulerConfig) != nil, "\(other)")
        }
    }

    @Test func membersKeepTheirOrderAndAreFoundInLargeObjects() throws {
        let names = (0..<1000).map { "key \($0 * 7919 % 1000)" }
        let text = "{" + names.map { "\"\($0)\":\"\($0)\"" }.joined(separator: ",") + "}"
        let object = try #require(try parse(text).objectValue)
        #expect(object.keys == names)
        for name in names { #expect(object[name] == .string(name)) }
        #expect(object["key"] == nil)
    }

    @Test(arguments: [
        ("0", JSONValue.integer(0)), ("-7", .integer(-7)), ("9223372036854775807", .integer(.max)),
        ("-9223372036854775808", .integer(.min)), ("9223372036854775808", .unsigned(1 << 63)),
        ("18446744073709551615", .unsigned(.max)), ("18446744073709551616", .number(18_446_744_073_709_551_616)),
        ("-9223372036854775809", .number(-9_223_372_036_854_775_808)),
        ("1000000000000000019884624838656", .number(1e30)), ("1.0", .number(1)), ("1e2", .number(100)), ("1E-2", .number(0.01)),
        ("-0.5e+1", .number(-5)), ("5e-324", .number(.leastNonzeroMagnitude)), ("0.1", .number(0.1)),
        ("1.7976931348623157e308", .number(.greatestFiniteMagnitude)), ("1e-400", .number(0)),
    ])
    func numbersKeepTheirKind(text: String, expected: JSONValue) throws {
        #expect(try parse(text) == expected)
    }

    @Test func wholeNumbersWithoutSignReadAndWriteAllTheirDigits() throws {
        for number in [0, 42, UInt64(Int64.max), 1 << 63, 1 << 63 + 1, .max - 1, .max] {
            let value = JSONValue.whole(number)
            #expect(value.wholeValue == number && value.canonicalText == String(number))
            #expect(try parse(value.canonicalText) == value)
        }
        #expect(JSONValue.whole(7) == 7 && JSONValue.whole(.max) != .integer(-1))
        #expect(JSONValue.whole(1 << 63).intValue == nil && JSONValue.whole(1 << 63).doubleValue == 0x1p63)
        for text in ["-1", "1.0", "1e3", "18446744073709551616", "\"7\"", "-0"] { #expect(try parse(text).wholeValue == nil) }
    }

    @Test func minusZeroIsNotAWholeNumber() throws {
        let value = try parse("-0")
        #expect(value.intValue == nil)
        #expect(value.doubleValue?.sign == .minus)
    }

    @Test func escapesAndSurrogatePairsAreDecoded() throws {
        #expect(try parse(#""\"\\\/\b\f\n\r\t\u00e9\u20AC\ud83d\ude00\u0000""#) == "\"\\/\u{8}\u{C}\n\r\té€😀\u{0}")
        #expect(try parse("\"é€😀\u{7F}\"") == "é€😀\u{7F}")
    }

    @Test func equivalentSpellingsAreDifferentKeysAndStrings() throws {
        let object = try parse("{\"\u{E9}\":1,\"e\u{301}\":2}")
        #expect(object["\u{E9}"] == 1)
        #expect(object["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{E9}") != .string("e\u{301}"))
    }

    @Test(arguments: [
        ("", JSONError.Code.unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("{", .unexpectedEnd, 1), ("[1,", .unexpectedEnd, 3),
        ("{\"a\"", .unexpectedEnd, 4), ("{\"a\":", .unexpectedEnd, 5), ("\"abc", .unexpectedEnd, 4),
        ("\"\\", .unexpectedEnd, 2),
        ("\"\\u12", .unexpectedEnd, 5), ("-", .unexpectedEnd, 1), ("1.", .unexpectedEnd, 2), ("1e", .unexpectedEnd, 2),
        ("nul", .unexpectedByte, 0), ("[1 2]", .unexpectedByte, 3), ("[1,]", .unexpectedByte, 3), ("{,}", .unexpectedByte, 1),
        ("{\"a\":1,}", .unexpectedByte, 7), ("{a:1}", .unexpectedByte, 1), ("{\"a\" 1}", .unexpectedByte, 5),
        ("'a'", .unexpectedByte, 0), ("[1]x", .trailingBytes, 3), ("1 2", .trailingBytes, 2), ("{} {}", .trailingBytes, 3),
        ("01", .invalidNumber, 0), ("-01", .invalidNumber, 0), ("+1", .unexpectedByte, 0), (".5", .unexpectedByte, 0),
        ("1.e1", .invalidNumber, 2), ("-a", .invalidNumber, 1), ("0x10", .trailingBytes, 1), ("1_000", .trailingBytes, 1),
        ("NaN", .notFinite, 0), ("[Infinity]", .notFinite, 1), ("-Infinity", .notFinite, 0), ("1e400", .notFinite, 0),
        ("-1e400", .notFinite, 0), ("{\"a\":1,\"b\":2,\"a\":3}", .duplicateKey, 13),
        ("{\"a\":1,\"\\u0061\":3}", .duplicateKey, 7),
        ("\"\\x\"", .invalidString, 1), ("\"a\nb\"", .invalidString, 2), ("\"\\ud83d\"", .invalidString, 1),
        ("\"\\ud83d\\u0041\"", .invalidString, 1), ("\"\\ude00\\ud83d\"", .invalidString, 1),
        ("\"\\u12g4\"", .invalidString, 5),
        ("// c\n1", .unexpectedByte, 0), ("\u{FEFF}1", .unexpectedByte, 0), ("\u{A0}1", .unexpectedByte, 0),
    ])
    func whatIsNotJSONIsRefusedWithItsPlace(text: String, code: JSONError.Code, offset: Int) throws {
        let error = try #require(refusal(Array(text.utf8)))
        #expect(error.code == code)
        #expect(error.offset == offset)
        #expect(error.message.contains("byte \(offset)"))
    }

    @Test(
        arguments: [
            [0x22, 0x80, 0x22], [0x22, 0xC3, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xFF, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xE2, 0x82, 0x22],
        ] as [[UInt8]])
    func invalidUTF8IsRefused(bytes: [UInt8]) {
        #expect(refusal(bytes)?.code == .invalidUTF8)
        let late = [0x22, 0x61, 0xC3, 0xA9] + bytes.dropFirst()
        #expect(refusal(late)?.offset == 4)
    }

    @Test func nulAndOtherBytesAreRefused() {
        #expect(refusal([0])?.code == .unexpectedByte)
        #expect(refusal([0x31, 0])?.code == .trailingBytes)
    }

    @Test func limitsHoldExactly() throws {
        let limits = JSONLimits(maxBytes: 20, maxDepth: 3, maxElements: 5)
        _ = try parse("[[[1]]]             ", limits: limits)
        #expect(refusal(Array("[[[1]]]              ".utf8), limits: limits)?.code == .tooLarge)
        #expect(refusal(Array("[[[[1]]]]".utf8), limits: limits)?.code == .tooDeep)
        #expect(refusal(Array("[{\"a\":[[]]}]".utf8), limits: limits)?.code == .tooDeep)
        _ = try parse("[1,2,3,4]", limits: limits)
        #expect(refusal(Array("[1,2,3,4,5]".utf8), limits: limits)?.code == .tooManyElements)
    }

    @Test func aMillionBracketsAreRefusedWithoutDeepCalls() {
        #expect(refusal([UInt8](repeating: UInt8(ascii: "["), count: 1_000_000))?.code == .tooDeep)
        let long = [UInt8](repeating: UInt8(ascii: "9"), count: 1_000_000)
        #expect(refusal(long)?.code == .invalidNumber)
    }
}
