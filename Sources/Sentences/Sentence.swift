/// A sentence that names settings, until it is known how they are spelled: `--hires-upscaler` on a command line,
/// `hires_upscaler` in JSON.
public struct Sentence: Sendable, Equatable, ExpressibleByStringInterpolation {
    /// Text, or a setting between texts.
    public enum Part: Sendable, Equatable {
        case text(String)
        case setting(Setting)
    }

    /// Text and settings in turn; no two texts follow each other, and none is empty.
    public private(set) var parts: [Part] = []

    /// A sentence of these parts.
    public init(_ parts: some Sequence<Part>) { for part in parts { append(part) } }

    /// A sentence that names no setting.
    public init(_ text: String) { append(.text(text)) }

    /// A sentence that names no setting.
    public init(stringLiteral text: String) { append(.text(text)) }

    /// A sentence with settings: `"\(.width) must be above 0."`
    public init(stringInterpolation: StringInterpolation) { self.init(stringInterpolation.parts) }

    private mutating func append(_ part: Part) {
        guard case .text(let text) = part else { return parts.append(part) }
        if case .text(let before) = parts.last {
            parts[parts.count - 1] = .text(before + text)
        } else if !text.isEmpty {
            parts.append(part)
        }
    }

    /// The settings that it names, in their order.
    public var settings: [Setting] {
        parts.compactMap { if case .setting(let setting) = $0 { setting } else { nil } }
    }

    /// The sentence with every setting as `spelling` writes it.
    public func spelled(_ spelling: (Setting) -> String) -> String {
        parts.map { part in
            switch part {
            case .text(let text): text
            case .setting(let setting): spelling(setting)
            }
        }.joined()
    }

    /// `a, b and c`.
    public static func list(_ settings: [Setting]) -> Sentence { list(settings.map { setting -> Sentence in "\(setting)" }) }

    /// `a, b and c`.
    public static func list(_ words: [String]) -> Sentence { list(words.map { Sentence($0) }) }

    private static func list(_ parts: [Sentence]) -> Sentence {
        var sentence: Sentence = ""
        for (index, part) in parts.enumerated() {
            sentence = sentence + (index == 0 ? "" : index + 1 == parts.count ? " and " : ", ") + part
        }
        return sentence
    }

    /// The two, one behind the other.
    public static func + (first: Sentence, second: Sentence) -> Sentence {
        Sentence(first.parts + second.parts)
    }

    /// Gathers the parts of a sentence.
    public struct StringInterpolation: StringInterpolationProtocol {
        fileprivate var parts: [Part] = []

        public init(literalCapacity: Int, interpolationCount: Int) {}

        /// Takes text that stands in the sentence.
        public mutating func appendLiteral(_ text: String) { parts.append(.text(text)) }

        /// Takes a setting, to be spelled later.
        public mutating func appendInterpolation(_ setting: Setting) { parts.append(.setting(setting)) }

        /// Takes a part that names settings itself.
        public mutating func appendInterpolation(_ sentence: Sentence) { parts += sentence.parts }

        /// Takes the sentence of an error.
        public mutating func appendInterpolation(_ error: some SentenceError) { parts += error.sentence.parts }

        /// Takes a value as text.
        public mutating func appendInterpolation(_ value: some CustomStringConvertible & Sendable) {
            parts.append(.text(value.description))
        }
    }
}

/// An error that says what is wrong, and the remedy, in a sentence.
public protocol SentenceError: Error, CustomStringConvertible {
    var sentence: Sentence { get }
}

extension SentenceError {
    /// The sentence with the keys of settings. It is not for users: a program that shows a sentence to users spells the
    /// settings.
    public var description: String { sentence.spelled(\.key) }
}

// Text has no place for settings, because their spelling is not known yet. These functions are deprecated and not
// unavailable: otherwise the compiler would take the interpolation for values of any type.
extension DefaultStringInterpolation {
    /// Puts a sentence into plain text, with the keys of settings. The compiler warns of it.
    @available(*, deprecated, message: "spell the sentence, or put it into another sentence")
    public mutating func appendInterpolation(_ sentence: Sentence) { appendInterpolation(sentence.spelled(\.key)) }

    /// Puts the key of a setting into plain text. The compiler warns of it.
    @available(*, deprecated, message: "spell the setting, or put it into a sentence")
    public mutating func appendInterpolation(_ setting: Setting) { appendInterpolation(setting.key) }
}
