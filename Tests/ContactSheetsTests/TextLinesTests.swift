import Testing

@testable import ContactSheets

/// Wrapping and cutting with letters of one pixel each.
@Suite struct TextLinesTests {
    static func wrapped(_ text: String, _ width: Int, _ linesMax: Int) -> [String] {
        TextLines.wrapped(text, width: width, linesMax: linesMax) { $0.count }
    }

    @Test(
        arguments: [
            ("a red apple", 11, 3, ["a red apple"]), ("a red apple", 10, 3, ["a red", "apple"]),
            ("a red apple", 5, 3, ["a red", "apple"]), ("a  red\n apple ", 11, 1, ["a red apple"]),
            ("a red apple on blue", 8, 2, ["a red", "apple o…"]), ("a red apple on blue", 7, 2, ["a red", "apple…"]),
            ("butterfly", 4, 5, ["butt", "erfl", "y"]), ("butterfly", 4, 2, ["butt", "erf…"]), ("", 4, 2, []),
            ("apple", 1, 9, ["a", "p", "p", "l", "e"]), ("apple", 0, 1, ["a…"]), ("apple", 5, 0, []),
        ] as [(String, Int, Int, [String])])
    func wrapping(_ text: String, _ width: Int, _ linesMax: Int, _ lines: [String]) {
        #expect(Self.wrapped(text, width, linesMax) == lines)
    }

    @Test(arguments: 1...30, [1, 2, 5])
    func nothingIsWiderOrLostWithoutASign(_ width: Int, _ linesMax: Int) {
        let text = "an extraordinarily long word, then: short ones é 日本"
        let lines = Self.wrapped(text, width, linesMax)
        #expect(lines.count <= linesMax)
        if width > 1 { #expect(lines.allSatisfy { $0.count <= width }) }
        let letters = { (text: String) in text.filter { !$0.isWhitespace && $0 != "…" } }
        #expect(letters(text).hasPrefix(letters(lines.joined())))
        #expect(lines.last?.hasSuffix("…") == (letters(text) != letters(lines.joined())))
    }
}
