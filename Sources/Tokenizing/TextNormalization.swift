import Foundation

/// The changes that CLIP's tokenizer makes to text before it splits it: Unicode normalisation form C, one space for each run
/// of white space, lower case. The tables are those of the Swift standard library, so the result depends on no locale.
///
/// The reference uses tables of an older Unicode. They do not have some marks of rare scripts as combining marks. If two such
/// marks follow each other, their order can differ here. For all single characters the ids agree.
enum TextNormalization {
    /// Lower case is taken scalar by scalar, without a look at neighbours: a final Σ becomes σ.
    static func normalize(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        for scalar in composed(text) {
            if scalar.properties.isWhitespace {
                if result.last != " " { result.append(" ") }
            } else if scalar.isASCII {
                let isUpper = (0x41...0x5A).contains(scalar.value)
                result.append(isUpper ? Unicode.Scalar(UInt8(scalar.value) | 0x20) : scalar)
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return result
    }

    /// Normalisation form C (Unicode Standard Annex 15).
    private static func composed(_ text: some Sequence<Unicode.Scalar>) -> [Unicode.Scalar] {
        var input = ""
        var isASCII = true
        for scalar in text {
            isASCII = isASCII && scalar.isASCII
            // Three vowel signs of Tibetan have combining class 0 and decompose into marks of other classes. Swift's
            // implementation takes them for starters and leaves the marks around them unordered. Decomposed by hand, they
            // come out right.
            switch scalar.value {
            case 0x0F73: input.unicodeScalars.append(contentsOf: ["\u{0F71}", "\u{0F72}"])
            case 0x0F75: input.unicodeScalars.append(contentsOf: ["\u{0F71}", "\u{0F74}"])
            case 0x0F81: input.unicodeScalars.append(contentsOf: ["\u{0F71}", "\u{0F80}"])
            default: input.unicodeScalars.append(scalar)
            }
        }
        return Array(isASCII ? input.unicodeScalars : input.precomposedStringWithCanonicalMapping.unicodeScalars)
    }
}
