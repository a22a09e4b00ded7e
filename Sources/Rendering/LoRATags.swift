/// The tags of A1111's web UI that add LoRA files to a prompt, `<lora:NAME:0.8>`, and the prompt without them.
///
/// A tag is no part of what is encoded: it is taken out before anything else reads the prompt, attention syntax included, and
/// nothing is put into its place. The scale may be left out and is 1 then. `<lyco:…>` means the same, as in the web UI. Tags of
/// the negative prompt are refused by `RenderRequest`: a LoRA changes the model for the whole picture, and the web UI, which
/// takes them for text there, does not apply them either.
struct LoRATags: Equatable {
    struct Tag: Equatable {
        var name: String
        var scale: Double
    }

    /// The prompt without its tags.
    var text = ""
    /// In the order in which they stand.
    var tags: [Tag] = []

    /// - Throws: `.invalidRequest` for a tag without an end or a name, with a scale that is no number, or with more than these,
    ///   and for `<hypernet:…>`.
    init(_ prompt: String) throws(RenderError) {
        var rest = prompt[...]
        while let open = rest.firstIndex(of: "<") {
            let after = rest[rest.index(after: open)...]
            let word = after.prefix { $0.isASCII && $0.isLetter }
            let kind = word.lowercased()
            guard ["lora", "lyco", "hypernet"].contains(kind), after[word.endIndex...].hasPrefix(":") else {
                text += rest[...open]
                rest = after
                continue
            }
            text += rest[..<open]
            let body = after[after.index(after: word.endIndex)...]
            guard let close = body.firstIndex(of: ">") else {
                throw RenderError(
                    .invalidRequest, "The prompt has a tag \"<\(word):\" without an end: write it as <lora:NAME:0.8>.")
            }
            tags.append(try LoRATags.tag(body[..<close], kind: kind))
            rest = body[body.index(after: close)...]
        }
        text += rest
    }

    private static func tag(_ body: Substring, kind: String) throws(RenderError) -> Tag {
        func wrong(_ what: String) -> RenderError {
            RenderError(.invalidRequest, "The tag <\(kind):\(body.prefix(80))> \(what): write it as <lora:NAME:0.8>.")
        }
        guard kind != "hypernet" else {
            throw RenderError(
                .invalidRequest,
                "The tag <hypernet:\(body.prefix(80))> names a hypernetwork, which is not supported: take it out of the prompt."
            )
        }
        let parts = body.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty else { throw wrong("has no name") }
        guard parts.count <= 2 else { throw wrong("has more than a name and a scale") }
        guard parts.count == 2 else { return Tag(name: String(name), scale: 1) }
        guard let scale = Double(parts[1].drop { $0 == " " }), scale.isFinite else {
            throw wrong("has a scale that is no number")
        }
        return Tag(name: String(name), scale: scale)
    }
}
