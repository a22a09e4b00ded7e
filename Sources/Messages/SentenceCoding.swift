public import Sentences
public import StrictJSON

/// A text, or a list of texts and settings: `["Choose a smaller ", {"setting": "width"}, "."]`. So each program spells settings
/// in its own way.
extension Sentence: JSONRepresentable {
    public var jsonValue: JSONValue? {
        settings.isEmpty ? .string(spelled(\.key)) : .array(parts.map(\.jsonValue))
    }

    /// The sentence, cut to the length that a message may have.
    func cut() -> Sentence {
        var (kept, free) = ([Part](), WireLimits.textBytes)
        for part in parts.prefix(WireLimits.sentenceParts) {
            let byteCount = part.byteCount
            guard byteCount <= free else {
                if case .text(let text) = part { kept.append(.text(text.cut(to: free))) }
                break
            }
            kept.append(part)
            free -= byteCount
        }
        return Sentence(kept)
    }
}

extension Sentence.Part {
    fileprivate var jsonValue: JSONValue {
        switch self {
        case .text(let text): return .string(text)
        case .setting(let setting):
            var object = JSONObject()
            object.put("letter", setting.letter.map(String.init))
            object.put("setting", setting.key)
            return .object(object)
        }
    }

    fileprivate init?(_ json: JSONValue) {
        if let text = json.stringValue {
            self = .text(text)
        } else if let setting = json.objectValue.flatMap({ Setting($0) }) {
            self = .setting(setting)
        } else {
            return nil
        }
    }

    fileprivate var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .setting(let setting): setting.key.utf8.count
        }
    }
}

extension JSONShape where Value == Sentence {
    /// An explaining sentence. Its parts together are no longer than a text may be.
    static var sentence: Self {
        let need = JSONNeed.words("a text, or a list of texts and settings, of at most \(WireLimits.textBytes) bytes")
        return Self(need) { json in
            let parts: [Sentence.Part?]
            if let text = json.stringValue {
                parts = [.text(text)]
            } else {
                guard let list = json.arrayValue, list.count <= WireLimits.sentenceParts else { return nil }
                parts = list.map { Sentence.Part($0) }
                guard parts.contains(where: { if case .setting = $0 { true } else { false } }) else { return nil }
            }
            let known = parts.compactMap(\.self)
            guard known.count == parts.count, known.reduce(0, { $0 + $1.byteCount }) <= WireLimits.textBytes else { return nil }
            return Sentence(known)
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

extension String {
    /// Whether it may name a setting: words of lower-case letters and digits, joined by underscores.
    fileprivate var isSettingKey: Bool {
        utf8.count <= WireLimits.nameBytes
            && split(separator: "_", omittingEmptySubsequences: false).allSatisfy { word in
                !word.isEmpty && word.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }
            }
    }
}
