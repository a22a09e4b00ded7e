/// Splits normalised text into words. Nothing is ever merged across words. The rule is the expression of CLIP's tokenizer in
/// transformers (`models/clip/tokenization_clip.py`):
///
///     <\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+
///
/// The first alternative that fits counts. White space is dropped. If the two token names reach this place at all, they are
/// then split once more by kinds of characters, as the reference's byte-level step does with every word.
enum WordSplitter {
    private enum Kind {
        case space, letter, number, other
    }

    private static let contractions: [[Unicode.Scalar]] = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map {
        Array($0.unicodeScalars)
    }
    private static let tokenNames: [[Unicode.Scalar]] = ["<|startoftext|>", "<|endoftext|>"].map { Array($0.unicodeScalars) }

    /// The words of `text` in order, as ranges of it.
    static func words(of text: ArraySlice<Unicode.Scalar>) -> [Range<Int>] {
        var words: [Range<Int>] = []
        var position = text.startIndex
        while position < text.endIndex {
            let start = position
            if let name = first(of: tokenNames, in: text, at: position) {
                position += name
                words += [start..<(start + 2), (start + 2)..<(position - 2), (position - 2)..<position]
                continue
            }
            if let contraction = first(of: contractions, in: text, at: position) {
                position += contraction
                words.append(start..<position)
                continue
            }
            let kind = kind(of: text[position])
            position += 1
            if kind == .letter || kind == .other {
                while position < text.endIndex, self.kind(of: text[position]) == kind { position += 1 }
            }
            if kind != .space { words.append(start..<position) }
        }
        return words
    }

    /// The length of the first of `candidates` that stands at `position`.
    private static func first(of candidates: [[Unicode.Scalar]], in text: ArraySlice<Unicode.Scalar>, at position: Int) -> Int?
    {
        guard text[position] == candidates[0][0] else { return nil }
        return candidates.first { text[position...].starts(with: $0) }?.count
    }

    private static func kind(of scalar: Unicode.Scalar) -> Kind {
        switch scalar.value {
        case 0x61...0x7A, 0x41...0x5A: return .letter
        case 0x30...0x39: return .number
        case 0x20, 0x09...0x0D: return .space
        case 0..<0x80: return .other
        default: break
        }
        if scalar.properties.isWhitespace { return .space }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return .letter
        case .decimalNumber, .letterNumber, .otherNumber: return .number
        default: return .other
        }
    }
}
