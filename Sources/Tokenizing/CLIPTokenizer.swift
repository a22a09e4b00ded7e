import StrictJSON

/// CLIP's byte-pair tokenizer. It gives the ids of `CLIPTokenizer` of transformers 5. It cuts special tokens out of the text,
/// normalises the rest (form C, white space, lower case; no repair of broken text and no HTML entities), splits it into
/// words, and merges each word byte pair by byte pair.
public struct CLIPTokenizer: Sendable {
    /// The id at the start of every sequence.
    public let startID: Int32
    /// The id at the end of every sequence.
    public let endID: Int32
    /// The id that fills short sequences: the end token's for most models, 0 for the second tokenizer of SDXL.
    public let paddingID: Int32
    /// The number of ids that the text encoder takes at once: `model_max_length`, or 77 if the configuration has none.
    public let maxLength: Int
    /// One more than the largest id: the number of rows that the text encoder's embedding must have.
    public let vocabularySize: Int

    /// The longest prompt, in bytes of UTF-8. It limits the time of one call to about a second for the worst text.
    public static let maxPromptBytes = 64 << 10

    private let encoder: BytePairEncoder
    private let unknownID: Int32
    private let rawFinder: TokenFinder
    private let normalizedFinder: TokenFinder

    /// Checks the files and builds the tokenizer.
    ///
    /// Throws `.malformedVocabulary`, `.malformedMerges`, `.malformedConfiguration` and `.unsupported`.
    public init(_ files: CLIPTokenizerFiles) throws(TokenizingError) {
        for (name, json) in [("tokenizer_config.json", files.configuration), ("special_tokens_map.json", files.specialTokens)] {
            if let json, json.objectValue == nil {
                throw .malformed(
                    "\(name) holds \(json.kindName), not an object; download it again.")
            }
        }
        try CLIPTokenizer.checkClass(files)
        let document: TokenizerDocument?
        switch files.model {
        case .separate(let vocabulary, let merges):
            document = nil
            encoder = try BytePairEncoder(vocabulary: vocabulary, merges: merges)
        case .document(let json):
            let whole = try TokenizerDocument(json)
            try whole.checkSteps()
            document = whole
            encoder = try BytePairEncoder(whole)
        }
        let special = try SpecialTokens(files, document, vocabulary: encoder.ids)
        (startID, endID, paddingID, unknownID) = (special.start, special.end, special.padding, special.unknown)
        maxLength = try CLIPTokenizer.maxLength(files.configuration)
        vocabularySize = max(encoder.ids.count, Int(special.tokens.map(\.id).max() ?? 0) + 1)
        rawFinder = TokenFinder(special.tokens.filter { !$0.isNormalized }.map { (Array($0.content.unicodeScalars), $0.id) })
        normalizedFinder = TokenFinder(
            special.tokens.filter(\.isNormalized).map { (TextNormalization.normalize($0.content.unicodeScalars), $0.id) })
        try encoder.checkComplete(
            added: special.tokens.map(\.content),
            document == nil ? "merges.txt" : "\(TokenizerDocument.name), model.merges")
        if let beside = files.beside { try special.checkAgreement(with: beside, encoder) }
    }

    /// Throws for the class name of another tokenizer. A general class follows its `tokenizer.json`. It counts as CLIP's
    /// tokenizer if that file has CLIP's own steps, also those around a prompt.
    private static func checkClass(_ files: CLIPTokenizerFiles) throws(TokenizingError) {
        guard let name = files.configuration?["tokenizer_class"]?.stringValue,
            !["CLIPTokenizer", "CLIPTokenizerFast"].contains(name)
        else { return }
        let json: JSONValue? = if case .document(let json) = files.model { json } else { files.beside }
        guard ["TokenizersBackend", "PreTrainedTokenizerFast"].contains(name), let json else {
            throw TokenizingError(.unsupported, "The model's tokenizer is \(quoted(name)); only CLIPTokenizer is supported.")
        }
        let document = try TokenizerDocument(json)
        try document.checkSteps()
        try document.checkHasFrame(name)
    }

    /// The ids of `text` without start and end.
    ///
    /// Throws `.promptTooLong`.
    public func ids(_ text: String) throws(TokenizingError) -> [Int32] {
        guard text.utf8.count <= CLIPTokenizer.maxPromptBytes else {
            throw TokenizingError(
                .promptTooLong,
                "The prompt has \(text.utf8.count) bytes; at most \(CLIPTokenizer.maxPromptBytes) are accepted.")
        }
        var ids: [Int32] = []
        let raw = Array(text.unicodeScalars)
        for part in rawFinder.parts(of: raw[...]) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let slice):
                let normalized = TextNormalization.normalize(slice)
                for part in normalizedFinder.parts(of: normalized[...]) {
                    switch part {
                    case .token(let id): ids.append(id)
                    case .text(let slice): append(slice, to: &ids)
                    }
                }
            }
        }
        return ids
    }

    /// The ids of `text` between start and end, cut to `length` with the end kept last, and filled up with the padding id.
    ///
    /// - Parameter length: at least 2; nil means `maxLength`.
    ///
    /// Throws `.promptTooLong`.
    public func paddedIDs(_ text: String, length: Int? = nil) throws(TokenizingError) -> [Int32] {
        let length = length ?? maxLength
        precondition(length >= 2, "start and end need two places")
        var ids = [startID] + (try self.ids(text)).prefix(length - 2) + [endID]
        ids += [Int32](repeating: paddingID, count: length - ids.count)
        return ids
    }

    private func append(_ text: ArraySlice<Unicode.Scalar>, to ids: inout [Int32]) {
        for word in WordSplitter.words(of: text) {
            ids += encoder.encode(
                text[word].flatMap { Array(UTF8.encode($0) ?? UTF8.encodedReplacementCharacter) }, unknown: unknownID)
        }
    }

    private static func maxLength(_ configuration: JSONValue?) throws(TokenizingError) -> Int {
        // transformers writes 10^30 for "no limit".
        guard let value = configuration?["model_max_length"], value != .null, value != .number(1e30) else { return 77 }
        guard let length = value.intValue, (2...65_536).contains(length) else {
            throw .malformed(
                "tokenizer_config.json: model_max_length is not a whole number from 2 to 65536.")
        }
        return length
    }
}

/// Finds tokens in text as they stand: the leftmost first. If several begin at one place, it finds the longest.
struct TokenFinder: Sendable {
    enum Part {
        case text(ArraySlice<Unicode.Scalar>)
        case token(Int32)
    }

    /// Tokens by their first scalar, longest first.
    private let tokens: [Unicode.Scalar: [(text: [Unicode.Scalar], id: Int32)]]

    init(_ tokens: [(text: [Unicode.Scalar], id: Int32)]) {
        var table: [Unicode.Scalar: [(text: [Unicode.Scalar], id: Int32)]] = [:]
        for token in tokens { if let first = token.text.first { table[first, default: []].append(token) } }
        self.tokens = table.mapValues { $0.sorted { $0.text.count > $1.text.count } }
    }

    /// The tokens of the text and the pieces between them. No piece is empty.
    func parts(of text: ArraySlice<Unicode.Scalar>) -> [Part] {
        var parts: [Part] = []
        var start = text.startIndex
        var position = start
        while position < text.endIndex {
            guard let found = tokens[text[position]]?.first(where: { text[position...].starts(with: $0.text) }) else {
                position += 1
                continue
            }
            if start < position { parts.append(.text(text[start..<position])) }
            parts.append(.token(found.id))
            position += found.text.count
            start = position
        }
        if start < text.endIndex { parts.append(.text(text[start...])) }
        return parts
    }
}
