/// Why a tokenizer cannot be built or a prompt cannot be encoded.
public struct TokenizingError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// `vocab.json` is not a list of tokens with ids 0, 1, 2 …
        case malformedVocabulary
        /// `merges.txt` is not a list of pairs of tokens of the vocabulary.
        case malformedMerges
        /// `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json` or `tokenizer.json` has a wrong form.
        case malformedConfiguration
        /// A tokenizer, or a property of a token, that Patchloom does not implement.
        case unsupported
        /// More than `CLIPTokenizer.maxPromptBytes`.
        case promptTooLong
    }

    public var code: Code
    /// One sentence that names the file or the prompt, and the remedy.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    /// A configuration file has a wrong form.
    static func malformed(_ message: String) -> TokenizingError { TokenizingError(.malformedConfiguration, message) }

    public var description: String { message }
}

/// Text from a file for a message: at most 64 characters, control characters made visible.
func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars
    let head = scalars.prefix(64).map { $0.value < 0x20 || $0.value == 0x7F ? "\u{FFFD}" : String($0) }.joined()
    return "\"" + head + (scalars.dropFirst(64).isEmpty ? "" : "…") + "\""
}
