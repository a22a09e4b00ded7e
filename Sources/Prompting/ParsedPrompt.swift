/// A prompt in the attention syntax of A1111's web UI, as pieces of weighted text.
///
/// - `(a)` has weight 1.1, `[a]` 1/1.1, `(a:1.3)` 1.3. Brackets nest and their weights multiply.
/// - `\(` `\)` `\[` `\]` `\\` stand for the character itself. Any other backslash is dropped.
/// - An opening bracket without a closing one reaches to the end. A closing one without an opening one is text.
/// - The word `BREAK` in capitals ends a chunk, also inside brackets (there the web UI takes it for a word).
/// - A decimal number between the last colon and the `)` of a bracket is a weight. One word that begins like a number (a
///   digit, a sign, a point), or `nan` or `inf`, is refused there. Anything else is text, and so is a colon elsewhere.
/// - The web UI's prompt editing `[a:b:10]` and alternation `[a|b]` are refused, because they would be misread. The web UI
///   composes prompts with `AND`; here it is text, and a note says so.
public struct ParsedPrompt: Sendable, Equatable {
    /// A piece of a prompt.
    public enum Part: Sendable, Equatable {
        case text(String, weight: Double)
        case chunkBreak
    }

    /// The parts in order. Neighbouring texts have different weights, and none is empty.
    public let parts: [Part]
    /// Parts of the prompt that may not mean what their author thinks, each a phrase for "the prompt …".
    public let notes: [String]

    /// The largest weight; the smallest is minus this.
    public static let weightLimit = 100.0
    /// The most open brackets of one kind at a time.
    public static let depthLimit = 100

    /// - Throws: for a weight that is no number or out of range, and for syntax of other programs that would be misread.
    public init(_ text: String) throws(PromptError) {
        var parser = AttentionParser(text)
        try parser.parse()
        parts = try ParsedPrompt.merged(parser.pieces)
        notes = parser.notes
    }

    /// Joins neighbours of equal weight, so that they are tokenised as one text.
    private static func merged(_ pieces: [Part]) throws(PromptError) -> [Part] {
        var parts: [Part] = []
        for piece in pieces {
            guard case .text(let text, let weight) = piece else {
                parts.append(piece)
                continue
            }
            guard weight.isFinite, abs(weight) <= weightLimit else {
                throw PromptError(
                    "The brackets around \"\(shown(text.unicodeScalars))\" make a weight beyond \(Int(weightLimit)): write "
                        + "smaller weights or fewer brackets.")
            }
            if case .text(let before, weight)? = parts.last {
                parts[parts.count - 1] = .text(before + text, weight: weight)
            } else if !text.isEmpty {
                parts.append(piece)
            }
        }
        return parts
    }
}

/// Text of a prompt for a message: at most 40 characters, with spaces for control characters.
func shown(_ scalars: some Collection<Unicode.Scalar>) -> String {
    let head = scalars.prefix(40).map { $0.value < 0x20 || $0.value == 0x7F ? " " : String($0) }.joined()
    return head + (scalars.count > 40 ? "…" : "")
}
