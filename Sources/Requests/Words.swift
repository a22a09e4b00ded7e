/// Readers of single words.
public enum Words {
    /// The case of a closed set of words.
    ///
    /// - Throws: `invalid`, with all the words.
    public static func choice<Choice: RawRepresentable<String> & CaseIterable>(
        _ word: String, _ setting: Setting
    ) throws(RequestError) -> Choice {
        guard let choice = Choice(rawValue: word) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw RequestError(.invalid, "\(setting) must be one of \(words), not '\(word)'.")
        }
        return choice
    }

    /// Parts of a list with commas between; an empty part is one too.
    static func list(_ text: String) -> [String] {
        text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }

    /// True for `on`, false for `off`; nil stays nil.
    static func isOn(_ word: String?, _ setting: Setting) throws(RequestError) -> Bool? {
        guard let word else { return nil }
        guard ["on", "off"].contains(word) else { throw RequestError(.invalid, "\(setting) must be on or off, not '\(word)'.") }
        return word == "on"
    }

    /// Two whole numbers of digits alone, such as `1024x768`; nil for anything else.
    static func pair(_ text: String, separator: Character) -> (Int, Int)? {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy { ("0"..."9").contains($0) } }),
            let first = Int(parts[0]), let second = Int(parts[1])
        else { return nil }
        return (first, second)
    }
}
