import Sentences
import Weights

/// The tags of A1111's web UI that add LoRA files to a prompt, `<lora:NAME:0.8>`, and the prompt without them.
///
/// A tag is removed before anything else reads the prompt, even attention syntax, and leaves no gap. Without a scale it has
/// the scale 1. `<lyco:…>` means the same, as in the web UI. `RenderRequest` refuses tags in the negative prompt: a LoRA
/// changes the model for the whole picture, and the web UI reads such a tag as text.
///
/// **Two scales.** `<lora:NAME:0.5:0.8>` is 0.5 for the text encoder and 0.8 for the U-Net. Many descriptions have the other
/// order, but the web UI reads its prompts so: in `extra_networks_lora.py` the first number is `te_multiplier`, the second is
/// `unet_multiplier`, and a missing second number equals the first. `te=0.5` and `unet=0.8`, anywhere behind the name, override
/// the plain numbers, as in the web UI.
struct LoRATags: Equatable {
    struct Tag: Equatable {
        var name: String
        var scale: LoRAScale
    }

    /// The prompt without its tags.
    var text = ""
    /// The tags in the prompt's order.
    var tags: [Tag] = []

    /// - Throws: `.invalidRequest` for a tag without an end or a name, with a scale that is no number, with more than two
    ///   scales or with other settings, and for `<hypernet:…>`.
    ///
    /// - Parameter setting: the setting that the prompt belongs to.
    init(_ prompt: String, of setting: Setting) throws(RenderError) {
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
                throw .invalidRequest(
                    "The prompt has a tag \"<\(word):\" without an end: write it as <lora:NAME:0.8>.",
                    about: setting)
            }
            tags.append(try TagReader(body: body[..<close], kind: kind, setting: setting).tag())
            rest = body[body.index(after: close)...]
        }
        text += rest
    }
}

/// Reads the text between a tag's first colon and its end.
private struct TagReader {
    let body: Substring
    let kind: String
    let setting: Setting

    func tag() throws(RenderError) -> LoRATags.Tag {
        guard kind != "hypernet" else {
            throw .invalidRequest(
                "The tag <hypernet:\(body.prefix(80))> names a hypernetwork, which is not supported: take it out of the "
                    + "prompt.", about: setting)
        }
        let parts = body.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, !name.isEmpty else { throw wrong("has no name") }
        return LoRATags.Tag(name: String(name), scale: try scale(parts.dropFirst()))
    }

    private func scale(_ settings: ArraySlice<Substring>) throws(RenderError) -> LoRAScale {
        var numbers: [Double] = []
        var named: [String: Double] = [:]
        for part in settings {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard sides.count == 2 else {
                numbers.append(try number(part))
                continue
            }
            let key = trimmed(sides[0])
            guard key != "dyn" else { throw wrong("sets a dynamic rank by dyn, which is not supported") }
            guard key == "te" || key == "unet" else { throw wrong("has a setting that is neither te= nor unet=") }
            guard named.updateValue(try number(sides[1]), forKey: key) == nil else { throw wrong("sets \(key) twice") }
        }
        guard numbers.count <= 2 else { throw wrong("has a third number, a dynamic rank, which is not supported") }
        let textEncoder = named["te"] ?? numbers.first ?? 1
        let unet = named["unet"] ?? numbers.dropFirst().first ?? textEncoder
        return LoRAScale(unet: unet, textEncoder: textEncoder)
    }

    private func number(_ text: Substring) throws(RenderError) -> Double {
        guard let number = Double(trimmed(text)), number.isFinite else { throw wrong("has a scale that is no number") }
        return number
    }

    private func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    private func wrong(_ what: String) -> RenderError {
        .invalidRequest(
            "The tag <\(kind):\(body.prefix(80))> \(what): write it as <lora:NAME:0.8>, or <lora:NAME:0.5:0.8> for the text encoder "
                + "and the U-Net.", about: setting)
    }
}
