import TestSupport
import Testing

@testable import Prompting

/// The attention syntax.
@Suite struct ParsedPromptTests {
    private static func text(_ text: String, _ weight: Double) -> ParsedPrompt.Part { .text(text, weight: weight) }

    static let cases: [(prompt: String, parts: [ParsedPrompt.Part])] = [
        ("", []),
        ("a red apple, 3:4", [text("a red apple, 3:4", 1)]),
        ("a (red) apple", [text("a ", 1), text("red", 1.1), text(" apple", 1)]),
        ("a ((red)) apple", [text("a ", 1), text("red", 1.1 * 1.1), text(" apple", 1)]),
        ("(red:1.3)", [text("red", 1.3)]),
        ("(red: 1.3 )", [text("red", 1.3)]),
        ("(red:.5)(b:2.)(c:-1)(d:+2)", [text("red", 0.5), text("b", 2), text("c", -1), text("d", 2)]),
        ("(ratio 16:9:0.5)", [text("ratio 16:9", 0.5)]),
        ("[red]", [text("red", 1 / 1.1)]),
        ("(a (b:1.5) c:2)", [text("a ", 2), text("b", 1.5 * 2), text(" c", 2)]),
        (#"a \(b\) \[c\] \\ d"#, [text(#"a (b) [c] \ d"#, 1)]),
        (#"\(a:1.3\)"#, [text("(a:1.3)", 1)]),
        (#"\a\"#, [text("a", 1)]),
        (#"(a:1.3\))"#, [text("a:1.3)", 1.1)]),
        ("a) b] c:1.3)", [text("a) b] c:1.3)", 1)]),
        ("a (b [c", [text("a ", 1), text("b ", 1.1), text("c", 1.1 * (1 / 1.1))]),
        ("(a:1.3", [text("a:1.3", 1.1)]),
        ("(a)(b)", [text("ab", 1.1)]),
        ("()[]", []),
        ("a:b (c: d)", [text("a:b ", 1), text("c: d", 1.1)]),
        ("(at 10 to 20)", [text("at 10 to 20", 1.1)]),
        ("(a:1.2 b)", [text("a:1.2 b", 1.1)]),
        ("a BREAK b", [text("a ", 1), .chunkBreak, text(" b", 1)]),
        ("BREAK", [.chunkBreak]),
        ("BREAKBREAK BREAKS break _BREAK", [text("BREAKBREAK BREAKS break _BREAK", 1)]),
        ("a,BREAK:b", [text("a,", 1), .chunkBreak, text(":b", 1)]),
        ("(a BREAK b:2)", [text("a ", 2), .chunkBreak, text(" b", 2)]),
        ("[a|b", [text("a|b", 1 / 1.1)]),
        ("a|b (c|d)", [text("a|b ", 1), text("c|d", 1.1)]),
        ("[a: b]", [text("a: b", 1 / 1.1)]),
    ]

    @Test(arguments: cases) func aPromptIsTakenApart(_ prompt: String, _ parts: [ParsedPrompt.Part]) throws {
        #expect(try ParsedPrompt(prompt).parts == parts, "\(prompt)")
    }

    @Test(arguments: [
        "(a:1.3.4)", "(a:1,3)", "(a:1e3)", "(a:1.2x)", "(a:-)", "(a:--1)", "(a:.)", "(a:nan)", "(a:Inf)", "(a:-infinity)",
        "(b (a:1..2):1.3)", "(a:0x1)", "(a:1/2)", "(a:99999999999999999999999999999999999999999999999)",
    ])
    func aWeightThatIsNoNumberIsRefused(_ prompt: String) {
        let error = promptError { _ = try ParsedPrompt(prompt) }
        #expect(error?.message.hasPrefix("The weight \"") == true, "\(prompt)")
        #expect(error?.message.contains("\" is no number: write it as (text:1.3)") == true, "\(prompt)")
    }

    @Test(arguments: ["(a:101)", "(a:-100.5)", String(repeating: "(", count: 60) + "a", "((a:11):11)"])
    func aWeightOutOfRangeIsRefused(_ prompt: String) {
        let error = promptError { _ = try ParsedPrompt(prompt) }
        #expect(error?.message.contains("smaller weights") == true, "\(prompt)")
    }

    /// The longest prompts of open brackets are refused at once; closed ones are read.
    @Test func manyBrackets() throws {
        for bracket in ["(", "["] {
            let error = promptError { _ = try ParsedPrompt(String(repeating: bracket + "a", count: 4096)) }
            #expect(error?.message.contains("More than 100 brackets") == true)
        }
        #expect(try ParsedPrompt(String(repeating: "(a)", count: 2730)).parts.count == 1)
    }

    @Test(arguments: ["[a:b:10]", "[a:0.5]", "[a::0.5]", "[:b: 3 ]", "x [(a):b:2] y", "[a|b]", "[cow|horse|]", "([a|b]:1.2)"])
    func editingAndAlternationAreRefused(_ prompt: String) {
        let error = promptError { _ = try ParsedPrompt(prompt) }
        let what = prompt.contains("|") ? "Alternation" : "Prompt editing"
        #expect(error?.message.hasPrefix("\(what) as in \"") == true, "\(prompt)")
        #expect(error?.message.contains("is not supported: write") == true, "\(prompt)")
    }

    @Test func whatMayBeMeantOtherwiseIsSaid() throws {
        #expect(try ParsedPrompt("(a:heavy)").notes.first?.contains("\"(a:heavy)\"; it is read as text") == true)
        #expect(try ParsedPrompt("(a").notes == ["has a bracket that is not closed; it counts to the end"])
        #expect(try ParsedPrompt("(a) [b] (c: d) e:f (g:1.2) :)").notes.isEmpty)
        #expect(try ParsedPrompt((0..<50).map { "(a:b\($0))" }.joined()).notes.count == 4)
        #expect(
            try ParsedPrompt("a AND b AND c").notes == [
                "has the word AND, which does not combine prompts here; it is read as text"
            ])
        #expect(try ParsedPrompt("BAND and ANDY").notes.isEmpty)
    }

    /// In random prompts each letter has the reference's weight.
    @Test func randomPromptsAgreeWithTheReference() {
        var generator = SeededGenerator(seed: 11)
        let alphabet =
            Array("aé b,::((()))[]\\|_.1-").map(String.init) + [":1.2)", ":0.5)", "BREAK", " BREAK ", "[b:1]", "|b]", ":1.1.)"]
        var (refused, agreed) = (0, 0)
        for _ in 0..<4000 {
            let count = Int.random(in: 0...24, using: &generator)
            let prompt = (0..<count).map { _ in alphabet.randomElement(using: &generator) ?? "" }.joined()
            guard let parsed = try? ParsedPrompt(prompt) else {
                refused += 1
                continue
            }
            let letters = parsed.parts.flatMap { part -> [(Unicode.Scalar, Double)] in
                switch part {
                case .chunkBreak: [("\0", 0)]
                case .text(let text, let weight): text.unicodeScalars.map { ($0, weight) }
                }
            }
            let reference = ReferenceParser.letters(prompt)
            let isSame = letters.count == reference.count && zip(letters, reference).allSatisfy { $0 == $1 }
            #expect(isSame, "\(prompt)")
            agreed += 1
        }
        #expect(refused > 200 && agreed > 1500, "\(refused) refused, \(agreed) agreed")
    }
}
