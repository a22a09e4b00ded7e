import Sentences
import StrictJSON

// A sentence travels twice if it names settings: as a plain text for every peer, and as a list of texts and settings,
// `["Choose a smaller ", {"setting": "width"}, "."]`, for a peer that spells settings in its own way.

extension Sentence {
    /// The sentence as plain text, with the keys of settings, cut to what a message may hold.
    var messageText: String { spelled(\.key).cut() }

    /// Its parts; nil if it names no setting, or if it is so long that only its text travels.
    var messageParts: MessageParts? {
        settings.isEmpty || parts.count > WireLimits.sentenceParts || messageText != spelled(\.key)
            ? nil : MessageParts(sentence: self)
    }

    /// The sentence of a message, from its parts if they came.
    init(text: String, parts: MessageParts?) { self = parts?.sentence ?? Sentence(text) }
}

/// A sentence as a list of texts and settings.
struct MessageParts: JSONRepresentable {
    var sentence: Sentence

    var jsonValue: JSONValue? {
        .array(
            sentence.parts.map { part in
                guard case .setting(let setting) = part else { return .string(Sentence([part]).spelled(\.key)) }
                var object = JSONObject()
                object.put("letter", setting.letter.map(String.init))
                object.put("setting", setting.key)
                return .object(object)
            })
    }
}

extension JSONShape where Value == MessageParts {
    /// Texts and settings, together no longer than a text may be.
    static var parts: Self {
        let part = JSONShape<Sentence.Part>(.words("a text or a setting")) { json in
            if let text = json.stringValue { return .text(text) }
            return json.objectValue.flatMap { Setting($0) }.map { .setting($0) }
        }
        return JSONShape<[Sentence.Part]>.list(of: part, count: 0...WireLimits.sentenceParts).compactMap { parts in
            let sentence = Sentence(parts)
            return sentence.spelled(\.key).utf8.count <= WireLimits.textBytes ? MessageParts(sentence: sentence) : nil
        }
    }
}

extension Setting {
    /// Reads `{"setting": key}`, and `letter` for a short option. nil for anything that is no setting's name.
    fileprivate init?(_ object: JSONObject) {
        guard let key = object["setting"]?.stringValue, key.isSettingKey else { return nil }
        guard let letter = object["letter"] else {
            self.init(key)
            return
        }
        let character = letter.stringValue.flatMap { $0.utf8.count == 1 ? $0.first : nil }
        guard let character, character.isLetter else { return nil }
        self.init(key, letter: character)
    }
}
