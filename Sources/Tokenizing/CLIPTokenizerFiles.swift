public import StrictJSON

/// The files of a `tokenizer` folder, read but not yet checked.
public struct CLIPTokenizerFiles: Sendable {
    /// Vocabulary and merges, in one of their two forms.
    public enum Model: Sendable {
        /// `vocab.json` with ids by token, and `merges.txt`. transformers before release 5 saved CLIP's tokenizer like this.
        case separate(vocabulary: JSONValue, merges: String)
        /// `tokenizer.json`, which holds both and more. transformers 5 saves it.
        case document(JSONValue)
    }

    public var model: Model
    /// `tokenizer_config.json`; nil if there is none.
    public var configuration: JSONValue?
    /// `special_tokens_map.json`; nil if there is none.
    public var specialTokens: JSONValue?
    /// `added_tokens.json`; nil if there is none.
    public var addedTokens: JSONValue?
    /// A `tokenizer.json` beside `vocab.json` and `merges.txt`. It does not decide the ids, but must agree with the two
    /// files.
    public var beside: JSONValue?

    public init(
        model: Model, configuration: JSONValue? = nil, specialTokens: JSONValue? = nil, addedTokens: JSONValue? = nil,
        beside: JSONValue? = nil
    ) {
        self.model = model
        self.configuration = configuration
        self.specialTokens = specialTokens
        self.addedTokens = addedTokens
        self.beside = beside
    }

    /// Reads the files of a folder through functions of the model's source.
    ///
    ///     CLIPTokenizerFiles(
    ///         folder: "tokenizer", names: try source.tokenizerFiles("tokenizer"), exists: source.exists, json: source.json,
    ///         text: source.text)
    ///
    /// - Parameter names: the files in the folder that count. If `vocab.json` is among them, it is read with `merges.txt`;
    ///   otherwise `tokenizer.json` is read.
    public init<Failure: Error>(
        folder: String, names: [String], exists: (String) -> Bool, json: (String) throws(Failure) -> JSONValue,
        text: (String) throws(Failure) -> String
    ) throws(Failure) {
        func optional(_ name: String) throws(Failure) -> JSONValue? {
            names.contains(name) ? try json("\(folder)/\(name)") : nil
        }
        let document = "\(folder)/\(TokenizerDocument.name)"
        let isSeparate = names.contains("vocab.json")
        let model: Model =
            if isSeparate {
                .separate(vocabulary: try json("\(folder)/vocab.json"), merges: try text("\(folder)/merges.txt"))
            } else {
                .document(try json(document))
            }
        self.init(
            model: model, configuration: try optional("tokenizer_config.json"),
            specialTokens: try optional("special_tokens_map.json"), addedTokens: try optional("added_tokens.json"))
        // The model is complete without this file. A file that cannot be read contradicts nothing.
        if isSeparate, exists(document) { beside = try? json(document) }
    }
}
