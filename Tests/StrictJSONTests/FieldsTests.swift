import StrictJSON
import Testing

/// Members of hostile objects.
struct FieldsTests {
    private enum Colour: String, CaseIterable { case red, green }

    private func fields(_ text: String, nullIsAbsent: Bool = false) throws -> JSONFields<JSONFieldError> {
        let value = try JSONValue(parsing: Array(text.utf8), limits: .wire)
        return JSONFields(try #require(value.objectValue), nullIsAbsent: nullIsAbsent) { $0 }
    }

    /// The error of a member "a" with this text.
    private func error<Value>(_ text: String, _ shape: JSONShape<Value>) throws -> JSONFieldError? {
        let fields = try fields("{\"a\": \(text)}")
        return #expect(throws: JSONFieldError.self) { try fields.required("a", shape) }
    }

    @Test func membersOfEachKind() throws {
        let fields = try fields(
            """
            {"i": -3, "n": 2.5, "w": 7, "s": "äb", "f": false, "o": {"x": 1}, "c": "green", "l": [[1], [2, 3], []]}
            """)
        #expect(try fields.required("i", .integer(-3...3)) == -3)
        #expect(try fields.required("n", .number(0...2.5)) == 2.5)
        #expect(try fields.required("w", .number(0...7)) == 7)
        #expect(try fields.required("s", .string(maxBytes: 3)) == "äb")
        #expect(try fields.required("f", .flag()) == false)
        #expect(try fields.required("o", .object())["x"] == 1)
        let colour: Colour = try fields.required("c", .choice())
        #expect(colour == .green)
        let lists = try fields.required("l", .list(of: .list(of: .integer(1...3), count: 0...2), count: 3...3))
        #expect(lists == [[1], [2, 3], []])
    }

    @Test(arguments: [
        "4", "-1", "1.0", "1e0", "-0", "9223372036854775808", "18446744073709551616", "123456789012345678901234567890", "\"1\"",
        "true", "null", "[1]", "{}",
    ])
    func noSuchInteger(_ text: String) throws {
        let error = try #require(try error(text, .integer(0...3)))
        #expect(error.key == "a")
        #expect(error.need == .integer(0...3))
        #expect(error.value != nil)
        #expect(error.element == nil)
    }

    @Test(arguments: ["1.5", "-0.5", "1e308", "18446744073709551615", "\"NaN\"", "false", "null", "[0]"])
    func noSuchNumber(_ text: String) throws {
        #expect(try error(text, .number(0...1))?.need == .number(0...1))
    }

    /// The words name both ends of a count. Otherwise the error of a list that is too short would name a limit that it keeps.
    @Test(arguments: [
        (0...Int.max, "a list of elements, each an object"), (1...Int.max, "a list of at least 1 elements, each an object"),
        (0...4, "a list of at most 4 elements, each an object"), (1...4, "a list of 1 to 4 elements, each an object"),
        (2...2, "a list of 2 elements, each an object"),
    ])
    func aListSaysItsCount(_ count: ClosedRange<Int>, _ words: String) {
        #expect("\(JSONNeed.list(.object, count: count))" == words)
    }

    @Test func negativeZeroIsANumberAndNoInteger() throws {
        #expect(try fields("{\"a\": -0}").required("a", .number(0...1)) == 0)
    }

    @Test(arguments: ["{\"a\": 1e400}", "{\"a\": NaN}", "{\"a\": 1, \"a\": 1}", "{\"a\": [[[[[[[[[]]]]]]]]]}"])
    func theParserRefuses(_ text: String) {
        #expect(throws: JSONError.self) { try fields(text) }
    }

    @Test func textsAndNamesHaveLimits() throws {
        #expect(try error("\"äbc\"", .string(maxBytes: 3))?.need == .string(maxBytes: 3))
        #expect(try error("3", .string())?.value == 3)
        let shape = JSONShape<Colour>.choice()
        for text in ["\"blue\"", "\"\"", "\"Red\"", "[\"red\"]", "0"] {
            #expect(try error(text, shape)?.need == .choice(["red", "green"]))
        }
        for text in ["1", "0", "\"true\"", "null"] { #expect(try error(text, .flag())?.need == .flag) }
        for text in ["[]", "\"{}\"", "null"] { #expect(try error(text, .object())?.need == .object) }
    }

    @Test func listsTellTheWrongElement() throws {
        let shape = JSONShape<[Int]>.list(of: .integer(0...9), count: 1...3)
        #expect(try error("[]", shape)?.element == nil)
        #expect(try error("[1, 2, 3, 4]", shape)?.need == .list(.integer(0...9), count: 1...3))
        #expect(try error("[1, 2, 3, \"x\"]", shape)?.element == nil)
        #expect(try error("{}", shape)?.element == nil)
        #expect(try error("[1, 10, \"x\"]", shape)?.element == 10)
        #expect(try error("[1, null]", shape)?.element == .null)
        let nested = JSONShape<[[Int]]>.list(of: shape, count: 1...2)
        #expect(try error("[[1], [10]]", nested)?.element == [10])
        #expect(try error("[[1], [[1]]]", nested)?.element == [[1]])
    }

    @Test func missingMembers() throws {
        let strict = try fields("{\"n\": null}")
        #expect(try strict.optional("a", .flag()) == nil)
        let missing = #expect(throws: JSONFieldError.self) { try strict.required("a", .flag()) }
        #expect(missing?.value == nil)
        let null = #expect(throws: JSONFieldError.self) { try strict.optional("n", .flag()) }
        #expect(null?.value == .null)
        let lenient = try fields("{\"n\": null}", nullIsAbsent: true)
        #expect(lenient["n"] == nil)
        #expect(try lenient.optional("n", .flag()) == nil)
        #expect(throws: JSONFieldError.self) { try lenient.required("n", .flag()) }
    }

    @Test func membersThatDoNotBelong() throws {
        let fields = try fields("{\"a\": 1, \"b\": 2, \"B\": 3}")
        try fields.only(["a", "b", "B", "c"])
        let error = #expect(throws: JSONFieldError.self) { try fields.only(["b", "a"]) }
        #expect(error?.key == "B")
        #expect(error?.need == .absence)
        #expect(error?.value == 3)
    }
}
