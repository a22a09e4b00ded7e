/// Reads A1111's attention syntax from left to right. `ParsedPrompt` has the rules.
struct AttentionParser {
    /// An opening bracket that waits for its closing one.
    private struct OpenBracket {
        /// The first piece inside it.
        var piece: Int
        /// Its place in the source.
        var place: Int
        /// The number of open round brackets around it.
        var depth: Int
        /// Whether a bar stands directly inside.
        var hasBar = false
    }

    private(set) var pieces: [ParsedPrompt.Part] = []
    private(set) var notes: [String] = []

    private let source: [Unicode.Scalar]
    private var position = 0
    /// Text since the last piece.
    private var gathered: [Unicode.Scalar] = []
    /// The last colon in the source with neither a bracket nor an escape behind it.
    private var colon: Int?
    private var rounds: [OpenBracket] = []
    private var squares: [OpenBracket] = []

    init(_ text: String) { source = Array(text.unicodeScalars) }

    mutating func parse() throws(PromptError) {
        while position < source.count {
            let scalar = source[position]
            switch scalar {
            case "\\": escape()
            case "(": try open(\.rounds)
            case "[": try open(\.squares)
            case ")" where !rounds.isEmpty: try closeRound()
            case "]" where !squares.isEmpty: try closeSquare()
            default: plain(scalar)
            }
            position += 1
        }
        flush()
        for bracket in rounds { weigh(from: bracket.piece, by: 1.1) }
        for bracket in squares { weigh(from: bracket.piece, by: 1 / 1.1) }
        if !(rounds + squares).isEmpty { note("has a bracket that is not closed; it counts to the end") }
    }

    private mutating func plain(_ scalar: Unicode.Scalar) {
        switch scalar {
        case ":": colon = position
        case ")", "]": colon = nil
        case "|":
            if let square = squares.last, square.depth == rounds.count { squares[squares.count - 1].hasBar = true }
        default: break
        }
        gathered.append(scalar)
    }

    private mutating func escape() {
        colon = nil
        guard position + 1 < source.count, "()[]\\".unicodeScalars.contains(source[position + 1]) else {
            // The backslash is dropped, but words end at it.
            return flush()
        }
        position += 1
        gathered.append(source[position])
    }

    private mutating func open(_ stack: WritableKeyPath<AttentionParser, [OpenBracket]>) throws(PromptError) {
        // More brackets would leave no weight in range, and each one costs a walk over its contents.
        guard self[keyPath: stack].count < ParsedPrompt.depthLimit else {
            throw PromptError(
                "More than \(ParsedPrompt.depthLimit) brackets are open at once: close them, or write \\( and \\[ for brackets "
                    + "that are text.")
        }
        flush()
        self[keyPath: stack].append(OpenBracket(piece: pieces.count, place: position, depth: rounds.count))
        colon = nil
    }

    private mutating func closeRound() throws(PromptError) {
        let weight = try weightBeforeBracket()
        flush()
        weigh(from: rounds.removeLast().piece, by: weight ?? 1.1)
        colon = nil
    }

    private mutating func closeSquare() throws(PromptError) {
        flush()
        let bracket = squares.removeLast()
        let inside = source[bracket.place...position]
        if bracket.hasBar {
            throw PromptError(
                "Alternation as in \"\(shown(inside))\" is not supported: write one of the words, or \\[ and \\] for brackets "
                    + "that are text.")
        }
        if let colon, colon > bracket.place, Self.number(source[(colon + 1)..<position]) != nil {
            throw PromptError(
                "Prompt editing as in \"\(shown(inside))\" is not supported: write a weight in round brackets, as (text:0.9), "
                    + "or the words without a step.")
        }
        weigh(from: bracket.piece, by: 1 / 1.1)
        colon = nil
    }

    /// The weight between the last colon and the closing bracket at `position`; nil when that is text.
    private mutating func weightBeforeBracket() throws(PromptError) -> Double? {
        guard let colon, let bracket = rounds.last, colon > bracket.place else { return nil }
        let tail = Self.trimmed(source[(colon + 1)..<position])
        guard let first = tail.first else { return nil }
        if let weight = Self.number(tail) {
            gathered.removeLast(position - colon)
            return weight
        }
        guard !tail.contains(where: \.properties.isWhitespace) else { return nil }
        let inside = source[bracket.place...position]
        let word = String(String.UnicodeScalarView(tail)).lowercased()
        if "0123456789+-.".unicodeScalars.contains(first) || ["nan", "inf", "infinity"].contains(word) {
            throw PromptError(
                "The weight \"\(shown(tail))\" in \"\(shown(inside))\" is no number: write it as (text:1.3), or \\( and \\) "
                    + "when the brackets are text.")
        }
        // A colon with a space behind it belongs to prose.
        guard tail.startIndex == colon + 1 else { return nil }
        note("has no number behind the colon of \"\(shown(inside))\"; it is read as text")
        return nil
    }

    private mutating func note(_ phrase: String) {
        // A few notes are enough to show the problem.
        if notes.count < 4, !notes.contains(phrase) { notes.append(phrase) }
    }

    /// Ends the gathered text. `BREAK` in it becomes a break.
    private mutating func flush() {
        guard !gathered.isEmpty else { return }
        if !Self.places(of: "AND", in: gathered).isEmpty {
            note("has the word AND, which does not combine prompts here; it is read as text")
        }
        var start = 0
        for word in Self.places(of: "BREAK", in: gathered) {
            append(gathered[start..<word.lowerBound])
            pieces.append(.chunkBreak)
            start = word.upperBound
        }
        append(gathered[start...])
        gathered = []
    }

    private mutating func append(_ text: ArraySlice<Unicode.Scalar>) {
        guard !text.isEmpty else { return }
        pieces.append(.text(String(String.UnicodeScalarView(text)), weight: 1))
    }

    private mutating func weigh(from first: Int, by factor: Double) {
        for index in pieces[first...].indices {
            guard case .text(let text, let weight) = pieces[index] else { continue }
            pieces[index] = .text(text, weight: weight * factor)
        }
    }
}

extension AttentionParser {
    /// The places of a word.
    private static func places(of word: String, in text: [Unicode.Scalar]) -> [Range<Int>] {
        let word = Array(word.unicodeScalars)
        var found: [Range<Int>] = []
        var index = 0
        while index + word.count <= text.count {
            let end = index + word.count
            if text[index] == word[0], text[index..<end].elementsEqual(word), index == 0 || !isWord(text[index - 1]),
                end == text.count || !isWord(text[end])
            {
                found.append(index..<end)
                index = end
            } else {
                index += 1
            }
        }
        return found
    }

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
    }

    private static func trimmed(_ text: ArraySlice<Unicode.Scalar>) -> ArraySlice<Unicode.Scalar> {
        let start = text.drop(while: \.properties.isWhitespace)
        guard let last = start.lastIndex(where: { !$0.properties.isWhitespace }) else { return [] }
        return start[...last]
    }

    /// A decimal number: an optional sign, then digits with at most one point among them, no exponent.
    private static func number(_ text: ArraySlice<Unicode.Scalar>) -> Double? {
        let text = trimmed(text)
        let digits = "+-".unicodeScalars.contains(text.first ?? " ") ? text.dropFirst() : text
        guard digits.contains(where: { $0 != "." }), digits.count(where: { $0 == "." }) <= 1, digits.count <= 40,
            digits.allSatisfy({ "0123456789.".unicodeScalars.contains($0) })
        else { return nil }
        // Swift needs a digit on both sides of the point.
        var written = String(String.UnicodeScalarView(digits))
        if digits.first == "." { written = "0" + written }
        if digits.last == "." { written += "0" }
        return Double(written).map { text.first == "-" ? -$0 : $0 }
    }
}
