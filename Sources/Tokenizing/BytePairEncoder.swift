import StrictJSON

/// Byte-pair encoding with a mark at the end of words (Sennrich, Haddow and Birch, "Neural machine translation of rare words
/// with subword units", 2016). It works on bytes, as in GPT-2 and CLIP.
struct BytePairEncoder: Sendable {
    /// The id of every token, by its text.
    let ids: [String: Int32]
    /// For two neighbouring ids: the rank of their merge (lower first) and the id of the merged token.
    private let merges: [UInt64: (rank: UInt32, id: Int32)]
    /// Ids of single bytes, inside a word and at its end; nil if the vocabulary lacks them.
    private let inner: [Int32?]
    private let final: [Int32?]

    static let endOfWord = "</w>"
    static let maxTokens = 1 << 20

    /// - Parameters:
    ///   - vocabulary: `vocab.json`, an object of ids by token. The ids are 0, 1, 2 … in any order.
    ///   - merges: `merges.txt`: a version line that begins with `#version` and may be missing; then one merge a line, two
    ///     tokens with a space between, best first. Empty lines may follow.
    init(vocabulary: JSONValue, merges: String) throws(TokenizingError) {
        var lines = merges.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        while lines.last?.isEmpty == true { lines.removeLast() }
        let rules = lines.lazy.map { JSONValue.string(String(Substring($0))) }
        try self.init(vocabulary, named: "vocab.json", rules) { "merges.txt, line \($0 + 1)" }
    }

    /// - Parameter document: vocabulary and merges in one file. A merge is an array of two tokens. In files of earlier
    ///   releases it is a text like a line of `merges.txt`.
    init(_ document: TokenizerDocument) throws(TokenizingError) {
        try self.init(document.vocabulary, named: "tokenizer.json, model.vocab", document.merges) {
            "tokenizer.json, model.merges, entry \($0)"
        }
    }

    private init(
        _ vocabulary: JSONValue, named name: String, _ rules: some Sequence<JSONValue>, place: (_ index: Int) -> String
    ) throws(TokenizingError) {
        let ids = try BytePairEncoder.readVocabulary(vocabulary, name)
        self.ids = ids
        merges = try BytePairEncoder.readMerges(rules, ids, place)
        let symbols = BytePairEncoder.byteSymbols
        inner = symbols.map { ids[$0] }
        final = symbols.map { ids[$0 + BytePairEncoder.endOfWord] }
    }

    /// The ids of one word, given as UTF-8. A byte that the vocabulary lacks becomes `unknown`.
    ///
    /// Merges the pair of lowest rank among all neighbours, the leftmost of equals, until no pair is left. A heap finds the
    /// pairs, so that time grows with n·log(n) in the length of the word.
    func encode(_ word: [UInt8], unknown: Int32) -> [Int32] {
        var symbols = word.map { inner[Int($0)] ?? unknown }
        guard let lastByte = word.last else { return [] }
        symbols[word.count - 1] = final[Int(lastByte)] ?? unknown
        guard symbols.count > 1 else { return symbols }
        // The chain of the symbols that are left: `next` leads to the following one; `symbols.count` is the end.
        var next = Array(1...symbols.count)
        var previous = Array(-1..<(symbols.count - 1))
        var isMerged = [Bool](repeating: false, count: symbols.count)
        var heap = MinimumHeap()

        func push(_ position: Int) {
            guard position >= 0, next[position] < symbols.count else { return }
            if let merge = merges[BytePairEncoder.key(symbols[position], symbols[next[position]])] {
                heap.push(UInt64(merge.rank) << 32 | UInt64(position))
            }
        }
        for position in symbols.indices { push(position) }
        while let entry = heap.pop() {
            let position = Int(entry & 0xFFFF_FFFF)
            // The symbols may have changed after the entry was made.
            guard !isMerged[position], next[position] < symbols.count else { continue }
            let right = next[position]
            guard let merge = merges[BytePairEncoder.key(symbols[position], symbols[right])], UInt64(merge.rank) == entry >> 32
            else { continue }
            symbols[position] = merge.id
            isMerged[right] = true
            next[position] = next[right]
            if next[right] < symbols.count { previous[next[right]] = position }
            push(previous[position])
            push(position)
        }
        return symbols.indices.compactMap { isMerged[$0] ? nil : symbols[$0] }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// The character that stands for each byte in vocabularies: printable Latin-1 stands for itself, all other bytes have
    /// characters from U+0100 on.
    static let byteSymbols: [String] = {
        var next: UInt32 = 0x100
        return (UInt32(0)...255).map { byte in
            if (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte) {
                return String(Character(Unicode.Scalar(UInt8(byte))))
            }
            defer { next += 1 }
            return Unicode.Scalar(next).map { String(Character($0)) } ?? ""
        }
    }()

    /// Whether two encoders merge the same pairs into the same tokens, in the same order.
    func mergesEqually(_ other: BytePairEncoder) -> Bool {
        merges.count == other.merges.count
            && merges.allSatisfy { pair, merge in other.merges[pair].map { $0 == merge } ?? false }
    }

    /// Throws if a token is neither a single byte, nor found in texts as it stands, nor made by a merge. A file that was cut
    /// short, or has lost its line ends, would give other ids without an error.
    ///
    /// - Parameters:
    ///   - added: the tokens that are found as they stand.
    ///   - place: the name of the merges in messages.
    func checkComplete(added: some Sequence<String>, _ place: String) throws(TokenizingError) {
        var isMade = [Bool](repeating: false, count: ids.count)
        for merge in merges.values { isMade[Int(merge.id)] = true }
        for id in inner + final { if let id { isMade[Int(id)] = true } }
        for token in added { if let id = ids[token] { isMade[Int(id)] = true } }
        guard let first = isMade.firstIndex(of: false) else { return }
        let token = ids.first { $0.value == first }?.key ?? ""
        throw TokenizingError(
            .malformedMerges,
            "\(place): no rule makes the token \(quoted(token)) of the vocabulary; the rules were cut short, or their lines end "
                + "neither with LF nor with CR LF: download them again.")
    }

    private static func readVocabulary(_ json: JSONValue, _ name: String) throws(TokenizingError) -> [String: Int32] {
        guard let object = json.objectValue, !object.isEmpty, object.count <= maxTokens else {
            throw TokenizingError(
                .malformedVocabulary, "\(name) is not an object of 1 to \(maxTokens) tokens; download it again.")
        }
        var ids: [String: Int32] = [:]
        var isUsed = [Bool](repeating: false, count: object.count)
        for (token, value) in object {
            guard let id = value.intValue, isUsed.indices.contains(id) else {
                throw TokenizingError(
                    .malformedVocabulary,
                    "\(name): the id of token \(quoted(token)) is not a whole number from 0 to \(object.count - 1).")
            }
            guard !isUsed[id], ids.updateValue(Int32(id), forKey: token) == nil else {
                throw TokenizingError(.malformedVocabulary, "\(name): token \(quoted(token)) or its id \(id) occurs twice.")
            }
            isUsed[id] = true
        }
        return ids
    }

    private static func readMerges(
        _ rules: some Sequence<JSONValue>, _ ids: [String: Int32], _ place: (_ index: Int) -> String
    ) throws(TokenizingError) -> [UInt64: (rank: UInt32, id: Int32)] {
        var merges: [UInt64: (rank: UInt32, id: Int32)] = [:]
        for (index, rule) in rules.enumerated() {
            func malformed(_ what: String) -> TokenizingError {
                TokenizingError(.malformedMerges, "\(place(index)): \(what); vocabulary and merges must belong together.")
            }
            if index == 0, rule.stringValue?.utf8.starts(with: "#version".utf8) == true { continue }
            guard let (first, second) = tokens(of: rule) else {
                throw malformed(
                    rule.stringValue.map { "\(quoted($0)) is not two tokens with a space between" }
                        ?? "\(rule.kindName) is not two tokens")
            }
            guard let left = ids[first], let right = ids[second], let merged = ids[first + second] else {
                let missing = [first, second].first { ids[$0] == nil } ?? first + second
                throw malformed("the vocabulary has no token \(quoted(missing))")
            }
            guard merges.updateValue((UInt32(merges.count), merged), forKey: key(left, right)) == nil else {
                throw malformed("the pair \(quoted(first)) \(quoted(second)) occurs twice")
            }
        }
        return merges
    }

    /// The two tokens of a merge: a text with one space between them, or an array. nil for anything else.
    private static func tokens(of merge: JSONValue) -> (String, String)? {
        let line = merge.stringValue?.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        let tokens = line?.map { String(Substring($0)) } ?? merge.arrayValue?.map { $0.stringValue ?? "" } ?? []
        return tokens.count == 2 && !tokens[0].isEmpty && !tokens[1].isEmpty ? (tokens[0], tokens[1]) : nil
    }
}

/// A binary heap that returns the smallest element first.
private struct MinimumHeap {
    private var elements: [UInt64] = []

    mutating func push(_ element: UInt64) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0, elements[(child - 1) / 2] > elements[child] {
            elements.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func pop() -> UInt64? {
        guard let smallest = elements.first, let last = elements.popLast() else { return nil }
        guard !elements.isEmpty else { return smallest }
        elements[0] = last
        var parent = 0
        while 2 * parent + 1 < elements.count {
            var child = 2 * parent + 1
            if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
            guard elements[child] < elements[parent] else { break }
            elements.swapAt(child, parent)
            parent = child
        }
        return smallest
    }
}
