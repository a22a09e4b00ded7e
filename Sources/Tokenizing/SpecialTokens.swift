import StrictJSON

/// Tokens that a text contains literally, found before it is split into words: start, end, padding, and added tokens.
struct SpecialTokens: Sendable {
    struct Token: Sendable, Equatable {
        let content: String
        let id: Int32
        /// Whether to look for the token in normalised text, in any case, or in the text as it was written.
        let isNormalized: Bool
    }

    private(set) var tokens: [Token] = []
    let start: Int32
    let end: Int32
    let unknown: Int32
    let padding: Int32

    private static let roles = ["bos_token", "eos_token", "unk_token", "pad_token"]
    private static let maxAdded = 1024
    private static let maxContentBytes = 512

    /// Resolves the roles as transformers 5 does. `special_tokens_map.json` wins over `tokenizer_config.json`, unless the
    /// latter has an `added_tokens_decoder`. If neither names a token, it is CLIP's own. If the decoder describes a token, or
    /// without a decoder `tokenizer.json`, that description counts. Otherwise the last description counts, in the order
    /// start, end, unknown, padding. A plain string is looked for in the text as it was written.
    init(
        _ files: CLIPTokenizerFiles, _ document: TokenizerDocument?, vocabulary: [String: Int32]
    ) throws(TokenizingError) {
        var table = AddedTokenTable(vocabulary: vocabulary)
        let decoder = files.configuration?["added_tokens_decoder"]
        if let decoder { try SpecialTokens.readDecoder(decoder, into: &table) }
        if let added = files.addedTokens { try SpecialTokens.readAdded(added, into: &table) }
        var described = decoder == nil ? [] : Set(table.order)
        if let document {
            described.formUnion(try SpecialTokens.read(document, isDecoded: decoder != nil, into: &table))
        }
        let known = Set(table.order)

        var contents: [String] = []
        for role in SpecialTokens.roles {
            let fallback: JSONValue = role == "bos_token" ? "<|startoftext|>" : "<|endoftext|>"
            let map = decoder == nil ? files.specialTokens?[role] : nil
            let token = try AddedToken(map ?? files.configuration?[role] ?? fallback, name: role)
            contents.append(token.content)
            if !described.contains(token.content) { table.set(token) }
        }
        for key in ["additional_special_tokens", "extra_special_tokens"] {
            let list = (decoder == nil ? files.specialTokens?[key] : nil) ?? files.configuration?[key]
            // Named tokens stand in an object, under the names that programs use for them.
            for value in list?.arrayValue ?? list?.objectValue?.map(\.value) ?? [] {
                let token = try AddedToken(value, name: key)
                if !known.contains(token.content) { table.set(token) }
            }
        }
        guard table.order.count <= SpecialTokens.maxAdded else {
            throw .malformed("The tokenizer has more than \(SpecialTokens.maxAdded) added tokens.")
        }
        tokens = try table.resolved()
        var ids: [Int32] = []
        for content in contents { ids.append(try table.id(of: content)) }
        (start, end, unknown, padding) = (ids[0], ids[1], ids[2], ids[3])
        guard let document else { return }
        try document.checkFrame(start: (contents[0], start), end: (contents[1], end))
        if let other = document.unknown, other != contents[2] {
            throw TokenizingError(
                .unsupported,
                "tokenizer.json: model.unk_token is \(quoted(other)), but the tokenizer's unk_token is \(quoted(contents[2])); they "
                    + "must be the same.")
        }
    }

    /// Reads `added_tokens` of a `tokenizer.json`.
    ///
    /// - Parameter isDecoded: whether a decoder describes the tokens. Then this list must not add a token.
    /// - Returns: the tokens that are described here.
    private static func read(
        _ document: TokenizerDocument, isDecoded: Bool, into table: inout AddedTokenTable
    ) throws(TokenizingError) -> [String] {
        let added = try document.addedTokens()
        for (token, id) in added {
            let known = table.knownID(of: token.content)
            guard known == id || (known == nil && !isDecoded) else {
                throw .malformed(
                    "tokenizer.json gives the added token \(quoted(token.content)) the id \(id), but the tokenizer's other files give it "
                        + (known.map { "the id \($0)" } ?? "no id") + "; use the files of one tokenizer.")
            }
            if !isDecoded { table.set(token, id: id) }
        }
        return isDecoded ? [] : added.map(\.token.content)
    }

    /// Throws unless a `tokenizer.json` beside other files has the same tokens, ids and merges. Release 5 of transformers
    /// reads that file and ignores the others; earlier releases did the opposite.
    func checkAgreement(with json: JSONValue, _ encoder: BytePairEncoder) throws(TokenizingError) {
        // A file without a byte-pair encoding does not describe this tokenizer.
        guard let document = try? TokenizerDocument(json), let other = try? BytePairEncoder(document) else { return }
        var (mine, theirs) = (encoder.ids, other.ids)
        for (token, id) in try document.addedTokens() { theirs[token.content] = id }
        for token in tokens {
            mine[token.content] = token.id
            // Tokens that only the configurations add belong to both forms.
            if encoder.ids[token.content] == nil, theirs[token.content] == nil { theirs[token.content] = token.id }
        }
        func refusal(_ what: String) -> TokenizingError {
            .malformed(
                "tokenizer.json and vocab.json with merges.txt describe different tokenizers (\(what)); remove the files that do not "
                    + "belong to the model.")
        }
        func name(_ id: Int32?) -> String { id.map { "id \($0)" } ?? "no id" }
        let contents = Set(mine.keys).union(theirs.keys).filter { mine[$0] != theirs[$0] }
        if let content = contents.min() {
            throw refusal(
                "\(quoted(content)) has \(name(theirs[content])) in tokenizer.json and \(name(mine[content])) in the others")
        }
        guard encoder.mergesEqually(other) else { throw refusal("their merges differ") }
    }

    /// `added_tokens_decoder`: descriptions by id.
    private static func readDecoder(_ json: JSONValue, into table: inout AddedTokenTable) throws(TokenizingError) {
        guard let object = json.objectValue else {
            throw .malformed("tokenizer_config.json: added_tokens_decoder is not an object.")
        }
        for (key, value) in object {
            guard let number = Int(key) else {
                throw .malformed("tokenizer_config.json: \(quoted(key)) is not the id of a token.")
            }
            let id = try SpecialTokens.id(number, "tokenizer_config.json: added_tokens_decoder has the id")
            table.set(try AddedToken(value, name: "added_tokens_decoder"), id: id)
        }
    }

    /// `added_tokens.json` of older releases: ids by token.
    private static func readAdded(_ json: JSONValue, into table: inout AddedTokenTable) throws(TokenizingError) {
        guard let object = json.objectValue else {
            throw .malformed("added_tokens.json is not an object.")
        }
        for (content, value) in object {
            let place = "added_tokens.json: the id of \(quoted(content)) is"
            guard let number = value.intValue else { throw .malformed("\(place) not a whole number.") }
            let id = try SpecialTokens.id(number, place)
            if !table.order.contains(content) { table.set(try AddedToken(content: content, isNormalized: true), id: id) }
        }
    }

    /// A number as the id of a token. Throws if no vocabulary can have it; `place` begins the message.
    static func id(_ number: Int, _ place: String) throws(TokenizingError) -> Int32 {
        guard (0..<2 * BytePairEncoder.maxTokens).contains(number) else {
            throw .malformed("\(place) \(number), which is out of range; download it again.")
        }
        return Int32(number)
    }

    /// The description of one token: its text, or an object with the text in `content`.
    struct AddedToken {
        let content: String
        let isNormalized: Bool

        init(content: String, isNormalized: Bool) throws(TokenizingError) {
            guard (1...SpecialTokens.maxContentBytes).contains(content.utf8.count) else {
                throw .malformed("The added token \(quoted(content)) is empty or longer than 512 bytes.")
            }
            self.content = content
            self.isNormalized = isNormalized
        }

        init(_ json: JSONValue, name: String) throws(TokenizingError) {
            if let content = json.stringValue {
                try self.init(content: content, isNormalized: false)
                return
            }
            let remedy = "download the tokenizer again"
            guard let object = json.objectValue else {
                throw .malformed("The tokenizer's \(name) is \(json.kindName), but must name a token; \(remedy).")
            }
            let fields = JSONFields(object, nullIsAbsent: true) { fault in
                let what = fault.value == nil ? "no \(fault.key)" : fault.found
                return TokenizingError.malformed("The tokenizer's \(name) has a token with \(what); \(remedy).")
            }
            let content = try fields.required("content", .string())
            for property in ["lstrip", "rstrip", "single_word"] where try fields.optional(property, .flag()) == true {
                throw TokenizingError(
                    .unsupported,
                    "The token \(quoted(content)) has the property \(property), which is not supported; set it to false.")
            }
            try self.init(content: content, isNormalized: fields.optional("normalized", .flag()) ?? false)
        }
    }
}

/// Added tokens by text, in the order in which they were first named.
struct AddedTokenTable {
    let vocabulary: [String: Int32]
    private(set) var order: [String] = []
    private var isNormalized: [String: Bool] = [:]
    private var statedIDs: [String: Int32] = [:]

    init(vocabulary: [String: Int32]) { self.vocabulary = vocabulary }

    mutating func set(_ token: SpecialTokens.AddedToken, id: Int32? = nil) {
        if isNormalized.updateValue(token.isNormalized, forKey: token.content) == nil { order.append(token.content) }
        if let id { statedIDs[token.content] = id }
    }

    func knownID(of content: String) -> Int32? { vocabulary[content] ?? statedIDs[content] }

    func id(of content: String) throws(TokenizingError) -> Int32 {
        guard let id = knownID(of: content) else {
            throw .malformed("The vocabulary has no token \(quoted(content)), which the tokenizer names.")
        }
        return id
    }

    /// All tokens with their ids: tokens of the vocabulary, and new tokens directly behind it.
    func resolved() throws(TokenizingError) -> [SpecialTokens.Token] {
        let newCount = order.count { vocabulary[$0] == nil }
        var used: Set<Int32> = []
        var tokens: [SpecialTokens.Token] = []
        for content in order {
            let id = try id(of: content)
            let isKnown = vocabulary[content] != nil
            let isPlaced = isKnown || (vocabulary.count..<(vocabulary.count + newCount)).contains(Int(id))
            guard isPlaced, statedIDs[content] ?? id == id, used.insert(id).inserted else {
                throw .malformed("The added token \(quoted(content)) has an id that does not fit the vocabulary.")
            }
            tokens.append(SpecialTokens.Token(content: content, id: id, isNormalized: isNormalized[content] ?? false))
        }
        return tokens
    }
}
