import StrictJSON
import TestSupport
import Testing

@Suite struct WriterTests {
    @Test func theCanonicalTextIsSortedAndCompact() {
        let value: JSONValue = ["b": [1, 2.5, .null], "a": true, "é": "x", "Z": [:], "aa": []]
        #expect(value.canonicalText == #"{"Z":{},"a":true,"aa":[],"b":[1,2.5,null],"é":"x"}"#)
    }

    @Test func onlyWhatMustBeIsEscaped() throws {
        let value: JSONValue = .string("\"\\/\u{8}\u{C}\n\r\t\u{0}\u{1F}\u{7F}é😀")
        #expect(value.canonicalText == #""\"\\/\b\f\n\r\t\u0000\u001f"# + "\u{7F}é😀\"")
        #expect(try parse(value.canonicalText) == value)
    }

    @Test func numbersReadBackAsTheSameDoubleAndKind() throws {
        var generator = SeededGenerator(seed: 1)
        var doubles: [Double] = [
            0, -0.0, 1, 0.1, 1e22, 1e21, 123456789, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 1e16, 1e-7,
        ]
        for _ in 0..<2000 { doubles.append(Double(bitPattern: generator.next())) }
        for value in doubles where value.isFinite {
            guard case .number(let read) = try parse(JSONValue.number(value).canonicalText) else {
                Issue.record("\(value) was not read back as a number")
                continue
            }
            #expect(read.bitPattern == value.bitPattern)
        }
        for value in [Int64.min, -1, 0, 1, .max] {
            #expect(try parse(JSONValue.integer(value).canonicalText) == .integer(value))
        }
    }

    @Test func membersCanBeReplacedAndRemoved() {
        var object = JSONObject()
        for index in 0..<20 { object["k\(index)"] = .integer(Int64(index)) }
        object["k3"] = "three"
        object["k4"] = .null
        for index in 5..<20 { object["k\(index)"] = nil }
        #expect(object.append("k0", 5) == false)
        #expect(JSONValue.object(object).canonicalText == #"{"k0":0,"k1":1,"k2":2,"k3":"three","k4":null}"#)
    }
}

@Suite struct ReaderFuzzTests {
    /// Mutations of a valid text: each is refused or gives a value whose canonical text reads back as the same value.
    @Test(arguments: 0..<8)
    func damagedTextIsRefusedOrRead(seed: UInt64) throws {
        let text =
            #"{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00é€"],"b":{"c":null,"d":[true,false,{}]},"0":"","long":12345678901234567890}"#
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<2000 {
            let bytes = Mutation.mutate(Array(text.utf8), using: &generator)
            do {
                let value = try JSONValue(parsing: bytes, limits: .wire)
                #expect(try JSONValue(parsing: value.canonicalBytes(), limits: .wire) == value)
            } catch {
                refused += 1
                #expect((0...bytes.count).contains(error.offset))
            }
        }
        #expect(refused > 200 && refused < 2000)
    }
}
