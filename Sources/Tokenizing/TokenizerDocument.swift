import StrictJSON

/// A `tokenizer.json`. The tokenizers library keeps a whole tokenizer in this form, and transformers 5 saves it: vocabulary
/// and merges in `model`, tokens that are found as they stand in `added_tokens`, and all steps around them.
///
/// `CLIPTokenizer` of transformers takes vocabulary, merges and added tokens from this file and has its own steps. Patchloom
/// does the same. A file with other steps or another model would give other ids elsewhere, so it is refused, with the setting
/// that differs. `truncation`, `padding` and `decoder` do not affect the ids and are not read.
struct TokenizerDocument {
    static let name = "tokenizer.json"

    /// `model.vocab`.
    let vocabulary: JSONValue
    /// `model.merges`.
    let merges: [JSONValue]
    /// `model.unk_token`; nil if the file names none.
    let unknown: String?
    private let json: JSONValue

    /// Takes the model out of the file, without a look at the steps around it.
    ///
    /// Throws `.malformedConfiguration` if there is none, `.unsupported` if it is no byte-pair encoding.
    init(_ json: JSONValue) throws(TokenizingError) {
        guard let object = json.objectValue else {
            throw TokenizerDocument.malformed("the file holds \(json.kindName), not an object")
        }
        let model = try TokenizerDocument.fields(object, at: "").required("model", .object())
        // The library did not write the type before release 0.9.
        try TokenizerDocument.expect("model.type", model["type"], ["BPE"])
        let fields = TokenizerDocument.fields(model, at: "model.")
        vocabulary = try fields.required("vocab", JSONShape(.object) { $0.objectValue == nil ? nil : $0 })
        merges = try fields.required("merges", JSONShape(.words("a list"), \.arrayValue))
        unknown = try fields.optional("unk_token", .string())
        self.json = json
    }

    /// - Parameter place: of the members, for messages: `model.`
    private static func fields(_ object: JSONObject, at place: String) -> JSONFields<TokenizingError> {
        JSONFields(object, nullIsAbsent: true) { fault in
            malformed("\(place)\(fault.value == nil ? "\(fault.key) is missing" : fault.found)")
        }
    }

    /// Throws `.unsupported` with the name of the first setting that would give other ids than CLIP's tokenizer.
    func checkSteps() throws(TokenizingError) {
        let model = json["model"]
        for (key, values) in [
            ("dropout", [0, 0.0]), ("continuing_subword_prefix", [""]), ("fuse_unk", [false]), ("byte_fallback", [false]),
            ("ignore_merges", [false]),
        ] as [(String, [JSONValue])] {
            try TokenizerDocument.expect("model.\(key)", model?[key], values)
        }
        let suffix = model?["end_of_word_suffix"] ?? .null
        try TokenizerDocument.expect(
            "model.end_of_word_suffix", suffix.isNull ? "" : suffix, [.string(BytePairEncoder.endOfWord)])
        try check("normalizer", list: "normalizers", against: TokenizerDocument.normalizers)
        try check("pre_tokenizer", list: "pretokenizers", against: TokenizerDocument.preTokenizers)
    }

    /// `added_tokens`: descriptions with ids, in the order of the file.
    func addedTokens() throws(TokenizingError) -> [(token: SpecialTokens.AddedToken, id: Int32)] {
        guard let object = json.objectValue,
            let list = try TokenizerDocument.fields(object, at: "")
                .optional("added_tokens", JSONShape(.words("a list"), \.arrayValue))
        else { return [] }
        var tokens: [(token: SpecialTokens.AddedToken, id: Int32)] = []
        for (index, entry) in list.enumerated() {
            let place = "added_tokens, entry \(index)"
            guard let object = entry.objectValue else {
                throw TokenizerDocument.malformed("\(place) is \(entry.kindName), not an object")
            }
            let fields = TokenizerDocument.fields(object, at: place + ": ")
            let number = try fields.required("id", .integer(.min ... .max))
            let id = try SpecialTokens.id(number, "\(TokenizerDocument.name): \(place) has the id")
            _ = try fields.required("content", .string())
            tokens.append((try SpecialTokens.AddedToken(entry, name: "added_tokens"), id))
        }
        return tokens
    }

    /// Checks the step that puts tokens around the ids, if the file has one. Throws unless it puts `start` before and `end`
    /// after them.
    func checkFrame(start: (content: String, id: Int32), end: (content: String, id: Int32)) throws(TokenizingError) {
        for step in TokenizerDocument.steps(json["post_processor"] ?? .null, list: "processors") {
            func token(_ key: String) -> (String?, Int?) {
                guard let pair = step[key]?.arrayValue, pair.count == 2 else { return (nil, nil) }
                return (pair[0].stringValue, pair[1].intValue)
            }
            let agrees: Bool
            switch step["type"]?.stringValue {
            case "RobertaProcessing", "BertProcessing":
                agrees = token("cls") == (start.content, Int(start.id)) && token("sep") == (end.content, Int(end.id))
            case "TemplateProcessing": agrees = TokenizerDocument.isTemplate(step, start, end)
            // This step only moves the places of words in the text.
            case "ByteLevel": agrees = true
            default: agrees = false
            }
            guard agrees else {
                throw TokenizerDocument.unsupported(
                    "post_processor", step,
                    "which puts something else around a prompt than \(quoted(start.content)) with id \(start.id) and "
                        + "\(quoted(end.content)) with id \(end.id)")
            }
        }
    }

    /// Throws unless some step puts tokens around the ids. A tokenizer of the class `name` adds none by itself.
    func checkHasFrame(_ name: String) throws(TokenizingError) {
        let steps = TokenizerDocument.steps(json["post_processor"] ?? .null, list: "processors")
        guard steps.contains(where: { $0["type"] != "ByteLevel" }) else {
            throw TokenizingError(
                .unsupported,
                "\(TokenizerDocument.name): its post_processor puts nothing around a prompt, and a \(quoted(name)) does no more "
                    + "than the file says; use the model's own tokenizer.")
        }
    }

    /// Whether a template is start, text, end.
    private static func isTemplate(
        _ step: JSONValue, _ start: (content: String, id: Int32), _ end: (content: String, id: Int32)
    ) -> Bool {
        let single = step["single"]?.arrayValue ?? []
        guard single.count == 3, single[1]["Sequence"] != nil else { return false }
        return zip([single[0], single[2]], [start, end]).allSatisfy { piece, token in
            guard let name = piece["SpecialToken"]?["id"]?.stringValue else { return false }
            let described = step["special_tokens"]?[name]
            return described?["ids"] == [.integer(Int64(token.id))] && described?["tokens"] == [.string(token.content)]
        }
    }
}

// MARK: CLIP's own steps

extension TokenizerDocument {
    private static let normalizers: [[JSONValue]] = [
        [["type": "NFC"]], [["type": "Replace", "pattern": ["Regex": "\\s+"], "content": " "]], [["type": "Lowercase"]],
    ]

    /// The expression of `WordSplitter`. In files of transformers before release 5 it lacks the names of the two tokens.
    private static let preTokenizers: [[JSONValue]] = [
        ["<\\|startoftext\\|>|<\\|endoftext\\|>|", ""].map { names in
            let expression = names + "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
            return ["type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Removed", "invert": true]
        },
        [["type": "ByteLevel", "add_prefix_space": false, "use_regex": true]],
    ]

    private func check(_ key: String, list: String, against expected: [[JSONValue]]) throws(TokenizingError) {
        let found = TokenizerDocument.steps(json[key] ?? .null, list: list)
        let remedy = "and only the steps of CLIP's own tokenizer are supported"
        for (step, allowed) in zip(found, expected) where !allowed.contains(TokenizerDocument.plain(step)) {
            throw TokenizerDocument.unsupported(key, step, remedy)
        }
        guard found.count == expected.count else {
            throw TokenizerDocument.unsupported(key, found.count > expected.count ? found[expected.count] : .null, remedy)
        }
    }

    /// A step, or the steps of a sequence in order.
    private static func steps(_ value: JSONValue, list: String) -> [JSONValue] {
        if value.isNull { return [] }
        guard value["type"] == "Sequence", let inner = value[list]?.arrayValue else { return [value] }
        return inner.flatMap { steps($0, list: list) }
    }

    /// A step without the settings that do not affect ids, and with the settings that older files leave out.
    private static func plain(_ step: JSONValue) -> JSONValue {
        guard var object = step.objectValue, object["type"] == "ByteLevel" else { return step }
        object["trim_offsets"] = nil
        if object["use_regex"] == nil { object["use_regex"] = true }
        return .object(object)
    }

    private static func expect(_ place: String, _ value: JSONValue?, _ allowed: [JSONValue]) throws(TokenizingError) {
        guard let value, !value.isNull, !allowed.contains(value) else { return }
        throw unsupported(place, value, "and only \(allowed[0].canonicalText) is supported")
    }

    private static func unsupported(_ place: String, _ value: JSONValue, _ remedy: String) -> TokenizingError {
        TokenizingError(.unsupported, "\(name): \(place) has \(shown(value)), \(remedy); use the model's own tokenizer.")
    }

    /// A value for a message: a text, the type of a step, or anything else as it is written.
    private static func shown(_ value: JSONValue) -> String {
        if let text = value.stringValue { return quoted(text) }
        let text = value.canonicalText
        return text.utf8.count > 160 ? String(text.unicodeScalars.prefix(160)) + "…" : text
    }

    static func malformed(_ what: String) -> TokenizingError {
        .malformed("\(name): \(what); download it again.")
    }
}
