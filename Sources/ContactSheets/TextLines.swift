/// Fits text into lines.
enum TextLines {
    /// Replaces the part that was cut off.
    private static let ellipsis = "…"

    /// The text in lines of at most `width`. Lines break at spaces, or inside a word that is wider than a line. If the text
    /// does not fit into the last line, it ends in an ellipsis.
    ///
    /// - Parameter measure: the width of a line.
    static func wrapped(_ text: String, width: Int, linesMax: Int, measure: (String) -> Int) -> [String] {
        guard linesMax > 0 else { return [] }
        var words = text.split(whereSeparator: \.isWhitespace).map(String.init)[...]
        var lines: [String] = []
        while !words.isEmpty, lines.count < linesMax - 1 {
            lines.append(takeLine(from: &words, width: width, measure: measure))
        }
        if !words.isEmpty { lines.append(cut(words.joined(separator: " "), width: width, measure: measure)) }
        return lines
    }

    /// The text, or as much of it as fits before an ellipsis; at least one character.
    static func cut(_ text: String, width: Int, measure: (String) -> Int) -> String {
        guard measure(text) > width else { return text }
        var end = prefixLength(of: text, width: width - measure(ellipsis), measure: measure)
        while end > 1, text.prefix(end).last?.isWhitespace == true { end -= 1 }
        return text.prefix(end) + ellipsis
    }

    private static func takeLine(from words: inout ArraySlice<String>, width: Int, measure: (String) -> Int) -> String {
        var line = words.removeFirst()
        guard measure(line) <= width else {
            let end = prefixLength(of: line, width: width, measure: measure)
            words = [String(line.dropFirst(end))] + words
            return String(line.prefix(end))
        }
        while let next = words.first, measure(line + " " + next) <= width {
            line += " " + next
            words.removeFirst()
        }
        return line
    }

    /// The number of characters of the longest prefix that fits, at least 1. Widths grow with the text, so halving finds it.
    private static func prefixLength(of text: String, width: Int, measure: (String) -> Int) -> Int {
        var (fits, tooLong) = (1, text.count + 1)
        while tooLong - fits > 1 {
            let middle = (fits + tooLong) / 2
            if measure(String(text.prefix(middle))) <= width { fits = middle } else { tooLong = middle }
        }
        return min(fits, max(1, text.count))
    }
}
