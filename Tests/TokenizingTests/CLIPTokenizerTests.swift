import StrictJSON
import TestSupport
import Testing
import Tokenizing

@Suite struct CLIPTokenizerTests {
    /// The tokens of a text, spelt out.
    private func tokens(_ text: String, merges: [(String, String)] = [], configuration: JSONValue? = nil) throws -> [String] {
        let tokenizer = try smallTokenizer(merges: merges, configuration: configuration)
        var names: [Int: String] = [:]
        for (token, id) in smallVocabulary(merges: merges).json.objectValue ?? JSONObject() { names[id.intValue ?? -1] = token }
        return try tokenizer.ids(text).map { names[Int($0)] ?? "?" }
    }

    @Test func wordsEndWithAMarkAndBytesStandForThemselves() throws {
        #expect(try tokens("ab  c") == ["a", "b</w>", "c</w>"])
        #expect(try tokens("") == [])
        #expect(try tokens(" \t\r\n\u{A0}\u{2003}") == [])
        #expect(try tokens("é") == ["Ã", "©</w>"])
        #expect(try tokens("\u{0}") == ["Ā</w>"])
        #expect(try tokens("\u{AD}\u{7F}") == ["Â", "Ń", "ġ</w>"])
    }

    @Test(arguments: [
        ("don't", ["don", "'t"]), ("WE'LL", ["we", "'ll"]), ("'tis", ["'t", "is"]), ("''s", ["''", "s"]),
        ("a'sb", ["a", "'s", "b"]),
        ("2024x", ["2", "0", "2", "4", "x"]), ("½x²", ["½", "x", "²"]), ("a,b!?(c)", ["a", ",", "b", "!?(", "c", ")"]),
        ("_a-b", ["_", "a", "-", "b"]), ("’s", ["’", "s"]), ("a\u{301}\u{302}b", ["á", "\u{302}", "b"]), ("😀👍🏽x", ["😀👍🏽", "x"]),
        ("<|EndOfText|>!", ["<|", "endoftext", "|>", "!"]), ("<|startoftext|", ["<|", "startoftext", "|"]), ("٣५", ["٣", "५"]),
        ("!<|endOftext|>", ["!<|", "endoftext", "|>"]),
    ])
    func wordsAreSplitWhereTheReferenceSplits(text: String, words: [String]) throws {
        let plain = try smallTokenizer()
        #expect(try plain.ids(text) == words.flatMap { try plain.ids($0) })
        // The mark at the end of words shows the ends of the words.
        #expect(try tokens(text).filter { $0.hasSuffix("</w>") }.count == words.count)
    }

    @Test(arguments: [
        ("ÀÉ", "àé"), ("e\u{301}", "é"), ("\u{212B}", "å"), ("ΑΣ", "ασ"), ("İ", "i\u{307}"),
        ("ẞ", "ß"),
        ("ǅ", "ǆ"), ("\u{0F73}\u{0F71}", "\u{0F71}\u{0F71}\u{0F72}"), ("\u{1100}\u{1161}\u{11A8}", "\u{AC01}"), ("Ⅷ", "ⅷ"),
    ])
    func textIsComposedAndLowered(text: String, same: String) throws {
        let tokenizer = try smallTokenizer()
        #expect(try tokenizer.ids(text) == tokenizer.ids(same))
        #expect(Array(text.unicodeScalars) != Array(same.unicodeScalars))
    }

    @Test func mergesGoByRankThenFromTheLeft() throws {
        let merges = [("b", "c"), ("a", "b"), ("a", "bc"), ("x", "x"), ("xx", "x</w>"), ("x", "x</w>")]
        #expect(try tokens("abcd", merges: merges) == ["abc", "d</w>"])
        #expect(try tokens("abab", merges: merges) == ["ab", "a", "b</w>"])
        #expect(try tokens("xxx", merges: merges) == ["xxx</w>"])
        #expect(try tokens("xxxx", merges: merges) == ["xx", "xx</w>"])
        #expect(try tokens("xxxxx", merges: merges) == ["xx", "xxx</w>"])
    }

    /// Against the plainest form of the same rule, on random words and merges.
    @Test func theHeapAgreesWithAnExhaustiveSearch() throws {
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<40 {
            var pieces = ["a", "b", "c", "a</w>", "b</w>"]
            var merges: [(String, String)] = []
            while merges.count < 12 {
                let (left, right) = (
                    pieces.randomElement(using: &generator) ?? "", pieces.randomElement(using: &generator) ?? ""
                )
                let isNew = !pieces.contains(left + right)
                if !left.hasSuffix("</w>"), isNew, left.count + right.count < 10 {
                    merges.append((left, right))
                    pieces.append(left + right)
                }
            }
            for _ in 0..<20 {
                let word = String(
                    (0..<Int.random(in: 1...40, using: &generator)).map { _ in "abc".randomElement(using: &generator) ?? "a" })
                #expect(try tokens(word, merges: merges) == exhaustive(word, merges))
            }
        }
    }

    private func exhaustive(_ word: String, _ merges: [(String, String)]) -> [String] {
        var pieces = word.map(String.init)
        pieces[pieces.count - 1] += "</w>"
        while true {
            var best: (rank: Int, position: Int)?
            for position in pieces.indices.dropLast() {
                if let rank = merges.firstIndex(where: { $0.0 == pieces[position] && $0.1 == pieces[position + 1] }),
                    rank < best?.rank ?? .max
                {
                    best = (rank, position)
                }
            }
            guard let best else { return pieces }
            pieces[best.position] += pieces.remove(at: best.position + 1)
        }
    }

    @Test func sequencesAreCutAndFilled() throws {
        let tokenizer = try smallTokenizer(configuration: ["model_max_length": 6])
        let (a, start, end) = (try tokenizer.ids("a")[0], tokenizer.startID, tokenizer.endID)
        #expect(tokenizer.maxLength == 6)
        #expect(try tokenizer.paddedIDs("a") == [start, a, end, end, end, end])
        #expect(try tokenizer.paddedIDs("a a a a") == [start, a, a, a, a, end])
        #expect(try tokenizer.paddedIDs("a a a a a a a") == [start, a, a, a, a, end])
        #expect(try tokenizer.paddedIDs("", length: 2) == [start, end])
        #expect(try tokenizer.ids("a a a a a a a").count == 7)
        #expect(try smallTokenizer().maxLength == 77)
        #expect(try smallTokenizer(configuration: ["model_max_length": 1e30]).maxLength == 77)
    }

    @Test func longWordsAndPromptsTakeBoundedTime() throws {
        let tokenizer = try smallTokenizer(merges: [("a", "a"), ("aa", "aa"), ("aaaa", "aaaa"), ("aa", "a</w>")])
        let longest = String(repeating: "a", count: CLIPTokenizer.maxPromptBytes)
        #expect(try tokenizer.ids(longest).count == CLIPTokenizer.maxPromptBytes / 8 + 3)
        let marks = String(
            String.UnicodeScalarView((0..<(CLIPTokenizer.maxPromptBytes / 2)).map { $0 % 2 == 0 ? "\u{301}" : "\u{323}" }))
        #expect(try tokenizer.ids(marks).count == CLIPTokenizer.maxPromptBytes)
        #expect(tokenizingError { _ = try tokenizer.ids(longest + "a") }?.code == .promptTooLong)
        #expect(tokenizingError { _ = try tokenizer.paddedIDs(String(repeating: "a", count: 1 << 20)) }?.code == .promptTooLong)
    }
}

@Suite struct SpecialTokenTests {
    private static let normalized: JSONValue = ["content": "<|endoftext|>", "normalized": true, "lstrip": false]

    @Test func specialTokensAreFoundInTheText() throws {
        let tokenizer = try smallTokenizer()
        let (start, end, a) = (tokenizer.startID, tokenizer.endID, try tokenizer.ids("a")[0])
        #expect(try tokenizer.ids("a<|startoftext|>a<|endoftext|><|endoftext|>") == [a, start, a, end, end])
        #expect(try tokenizer.ids("<|ENDOFTEXT|>").count > 1)
        // Text on both sides of a token is normalised separately: the accent does not join the letter.
        #expect(try tokenizer.ids("e<|endoftext|>\u{301}") == tokenizer.ids("e") + [end] + tokenizer.ids("\u{301}"))
    }

    @Test func normalisedTokensAreFoundInAnyCase() throws {
        let configuration: JSONValue = [
            "eos_token": Self.normalized, "unk_token": Self.normalized, "pad_token": Self.normalized,
        ]
        let tokenizer = try smallTokenizer(configuration: configuration)
        #expect(try tokenizer.ids("<|EndOfText|>") == [tokenizer.endID])
        // The padding, a plain string, is the last description of the same token, so the token is looked for as written.
        let plain = try smallTokenizer(configuration: ["eos_token": Self.normalized, "pad_token": "<|endoftext|>"])
        #expect(try plain.ids("<|EndOfText|>").count > 1)
    }

    /// SD 2 and the second tokenizer of SDXL fill with "!", and so it becomes a special token.
    @Test func anotherPaddingTokenIsSpecialToo() throws {
        let tokenizer = try smallTokenizer(configuration: ["pad_token": "!"])
        let a = try tokenizer.ids("a")[0]
        #expect(tokenizer.paddingID == 0)
        #expect(try tokenizer.ids("a!!") == [a, 0, 0])
        #expect(try tokenizer.paddedIDs("a", length: 5) == [tokenizer.startID, a, tokenizer.endID, 0, 0])
    }

    @Test func theMapWinsOverTheConfigurationUnlessThatDescribesTokens() throws {
        #expect(
            try smallTokenizer(configuration: ["pad_token": "<|endoftext|>"], specialTokens: ["pad_token": "!"]).paddingID == 0)
        let decoder: JSONValue = ["513": ["content": "<|endoftext|>", "normalized": true, "special": true]]
        let tokenizer = try smallTokenizer(
            configuration: ["pad_token": "<|endoftext|>", "added_tokens_decoder": decoder], specialTokens: ["pad_token": "!"])
        #expect(tokenizer.paddingID == tokenizer.endID)
        #expect(try tokenizer.ids("<|EndOfText|>") == [tokenizer.endID])
    }

    @Test func tokensBehindTheVocabularyAreAdded() throws {
        let decoder: JSONValue = ["514": ["content": "<Cat>", "normalized": true], "515": "<Cat>s"]
        let tokenizer = try smallTokenizer(configuration: ["added_tokens_decoder": decoder])
        #expect(tokenizer.vocabularySize == 516)
        #expect(try tokenizer.ids("<cat> <CAT>s <Cat>s") == [514, 514] + tokenizer.ids("s") + [515])
        let vocabulary = smallVocabulary()
        let files = CLIPTokenizerFiles(
            model: .separate(vocabulary: vocabulary.json, merges: vocabulary.merges), addedTokens: ["<dog>": 514])
        #expect(try CLIPTokenizer(files).ids("<DOG>") == [514])
    }

    @Test(
        arguments: [
            ["pad_token": .null], ["pad_token": 1], ["pad_token": ""], ["bos_token": "<none>"], ["eos_token": ["text": "x"]],
            ["model_max_length": 1], ["model_max_length": -77], ["model_max_length": 77.5], ["model_max_length": "77"],
            ["model_max_length": 65_537], ["added_tokens_decoder": []], ["added_tokens_decoder": ["x": "<a>"]],
            ["added_tokens_decoder": ["-1": "<a>"]], ["added_tokens_decoder": ["600": "<a>"]],
            ["added_tokens_decoder": ["5": "<a>"]],
            ["added_tokens_decoder": ["514": "<a>", "0514": "<b>"]], ["added_tokens_decoder": ["5": "!"]],
            ["added_tokens_decoder": ["99999999999": "<a>"]], ["additional_special_tokens": ["<none>"]], [],
        ] as [JSONValue])
    func badConfigurationsAreRefused(configuration: JSONValue) {
        #expect(tokenizingError { _ = try smallTokenizer(configuration: configuration) }?.code == .malformedConfiguration)
    }

    @Test(arguments: [1_000_000_000_000, 4_294_967_296, -1]) func idsOutOfRangeAreNamed(id: Int64) throws {
        let vocabulary = smallVocabulary()
        func refusal(_ configuration: JSONValue?, _ added: JSONValue?) -> String {
            let files = CLIPTokenizerFiles(
                model: .separate(vocabulary: vocabulary.json, merges: vocabulary.merges), configuration: configuration,
                addedTokens: added)
            return tokenizingError { _ = try CLIPTokenizer(files) }?.message ?? ""
        }
        for message in [
            refusal(["added_tokens_decoder": ["\(id)": "<a>"]], nil), refusal(nil, ["<a>": .integer(id)]),
            tokenizingError {
                let document = tokenizerDocument(
                    vocabulary.json, merges: vocabulary.merges, added: [["id": .integer(id), "content": "<a>"]])
                _ = try CLIPTokenizer(CLIPTokenizerFiles(model: .document(document)))
            }?.message ?? "",
        ] { #expect(message.contains("\(id), which is out of range"), "\(message)") }
    }

    @Test(
        arguments: [
            ["tokenizer_class": "T5Tokenizer"], ["tokenizer_class": "TokenizersBackend"],
            ["tokenizer_class": "PreTrainedTokenizerFast"], ["pad_token": ["content": "!", "lstrip": true]],
            ["pad_token": ["content": "!", "single_word": true]],
        ] as [JSONValue])
    func whatIsNotSupportedIsRefused(configuration: JSONValue) {
        #expect(tokenizingError { _ = try smallTokenizer(configuration: configuration) }?.code == .unsupported)
    }
}

@Suite struct TokenizerFolderTests {
    /// Existing files are read, missing ones are not asked for, and the reader's errors come through.
    @Test func filesComeFromTheFolder() throws {
        let vocabulary = smallVocabulary()
        var folder: [String: JSONValue] = ["t/vocab.json": vocabulary.json, "t/added_tokens.json": ["<dog>": 514]]
        func read(_ path: String) throws(TokenizingError) -> JSONValue {
            guard let json = folder[path] else { return try JSONValue.integer(0).refused(path) }
            return json
        }
        func files() throws(TokenizingError) -> CLIPTokenizerFiles {
            let names = folder.keys.map { String($0.dropFirst(2)) } + ["merges.txt"]
            return try CLIPTokenizerFiles(
                folder: "t", names: names, exists: { folder[$0] != nil }, json: read,
                text: { (path: String) throws(TokenizingError) in path == "t/merges.txt" ? vocabulary.merges : path })
        }
        let plain = try CLIPTokenizer(files())
        #expect(try plain.ids("<dog>") == [514])
        #expect(plain.maxLength == 77)
        folder["t/tokenizer_config.json"] = ["model_max_length": 9]
        folder["t/special_tokens_map.json"] = ["pad_token": "!"]
        let configured = try CLIPTokenizer(files())
        #expect(configured.maxLength == 9 && configured.paddingID == 0)
        folder["t/tokenizer.json"] = tokenizerDocument(vocabulary.json, merges: vocabulary.merges)
        #expect(try files().beside != nil && CLIPTokenizer(files()).paddingID == 0)
        folder["t/vocab.json"] = nil
        #expect(try files().beside == nil)
        let single = try CLIPTokenizer(files())
        #expect(try single.paddedIDs("a <dog>") == configured.paddedIDs("a <dog>"))
        folder["t/tokenizer.json"] = nil
        #expect(tokenizingError { _ = try files() } != nil)
    }
}

extension JSONValue {
    /// Stands for a reader that refuses: a vocabulary with this value fails.
    fileprivate func refused(_ path: String) throws(TokenizingError) -> JSONValue {
        _ = try CLIPTokenizer(CLIPTokenizerFiles(model: .separate(vocabulary: self, merges: path)))
        return self
    }
}

@Suite struct HostileVocabularyTests {
    private func refusal(vocabulary: JSONValue? = nil, merges: String = "") -> TokenizingError? {
        tokenizingError {
            _ = try CLIPTokenizer(
                CLIPTokenizerFiles(model: .separate(vocabulary: vocabulary ?? smallVocabulary().json, merges: merges)))
        }
    }

    @Test(
        arguments: [
            .null, 1, "x", [], [:], ["a": 1], ["a": -1], ["a": 0.0], ["a": "0"], ["a": .null], ["a": 0, "b": 0],
            ["a": 0, "b": 2],
            ["a": 4_294_967_296], ["a": 9_223_372_036_854_775_807], ["a": 1e30], ["\u{E9}": 0, "e\u{301}": 1],
        ] as [JSONValue])
    func idsAreZeroToCount(vocabulary: JSONValue) {
        #expect(refusal(vocabulary: vocabulary)?.code == .malformedVocabulary)
    }

    @Test func aVocabularyWithoutSpecialTokensIsRefused() {
        #expect(refusal(vocabulary: ["a": 0])?.code == .malformedConfiguration)
    }

    @Test(arguments: [
        "a", "a ", " a", "a  b", "a b c", "a b", "a zz", "zz a", "\n\n! \"", "#version: 0.2\n\n! \"\n", "! \"\n", "a\tb",
        "#version: 0.2\n#version: 0.2", "#version: 0.2\n \n",
    ])
    func mergesNameKnownTokens(merges: String) {
        #expect(refusal(merges: merges)?.code == .malformedMerges)
    }

    @Test(arguments: ["", "\n", "\n\n", "\n\n\n\n\n"]) func emptyLinesMayFollow(end: String) throws {
        let vocabulary = smallVocabulary(merges: [("a", "b"), ("ab", "c</w>")])
        let plain = try CLIPTokenizer(
            CLIPTokenizerFiles(model: .separate(vocabulary: vocabulary.json, merges: vocabulary.merges)))
        let rules = "#version: 0.2\na b\nab c</w>" + end
        let other = try CLIPTokenizer(CLIPTokenizerFiles(model: .separate(vocabulary: vocabulary.json, merges: rules)))
        #expect(try other.ids("abc ab") == plain.ids("abc ab"))
        #expect(refusal(merges: "#version: 0.2" + end) == nil)
    }

    /// Lost rules would give other ids. The error names the first token without a rule.
    @Test(arguments: [
        ("", "ab"), ("#version: 0.2\n", "ab"), ("#version: 0.2\ra b\rab c</w>\r", "ab"), ("#version: 0.2\na b\n", "abc</w>"),
        ("#version: 0.2\na b", "abc</w>"),
    ]) func rulesThatWereLostAreMissed(merges: String, token: String) {
        let vocabulary = smallVocabulary(merges: [("a", "b"), ("ab", "c</w>")])
        let error = refusal(vocabulary: vocabulary.json, merges: merges)
        let start = "merges.txt: no rule makes the token \"\(token)\" of the vocabulary; "
        #expect(error?.code == .malformedMerges && error?.message.hasPrefix(start) == true, "\(error as Any)")
    }

    /// Carriage returns end no lines: without a version line all merges are one, with too many words.
    @Test func carriageReturnsAloneEndNoLines() {
        let vocabulary = smallVocabulary(merges: [("a", "b"), ("ab", "c</w>")])
        #expect(refusal(vocabulary: vocabulary.json, merges: "a b\rab c</w>\r")?.code == .malformedMerges)
    }

    /// Tokens that training adds to the vocabulary need no rule, if some file says that they were added.
    @Test func addedTokensNeedNoRule() throws {
        var ids = smallVocabulary().json.objectValue ?? JSONObject()
        ids["<cat-toy>"] = .integer(Int64(ids.count))
        func files(_ configuration: JSONValue? = nil, added: JSONValue? = nil) -> CLIPTokenizerFiles {
            CLIPTokenizerFiles(
                model: .separate(vocabulary: .object(ids), merges: ""), configuration: configuration, addedTokens: added)
        }
        for given in [
            files(["additional_special_tokens": ["<cat-toy>"]]), files(["added_tokens_decoder": ["514": "<cat-toy>"]]),
            files(["pad_token": "<cat-toy>"]), files(added: ["<cat-toy>": 514]),
        ] { #expect(try CLIPTokenizer(given).ids("<cat-toy>") == [514]) }
        #expect(tokenizingError { _ = try CLIPTokenizer(files()) }?.message.contains("\"<cat-toy>\"") == true)
    }

    @Test func mergesOccurOnce() {
        let vocabulary = smallVocabulary(merges: [("a", "b")])
        #expect(refusal(vocabulary: vocabulary.json, merges: "a b\n") == nil)
        #expect(refusal(vocabulary: vocabulary.json, merges: "a b") == nil)
        #expect(refusal(vocabulary: vocabulary.json, merges: "a b\na b\n")?.message.contains("line 2") == true)
    }

    @Test func bytesThatTheVocabularyLacksAreUnknown() throws {
        let vocabulary: JSONValue = ["a": 0, "a</w>": 1, "<|startoftext|>": 2, "<|endoftext|>": 3]
        let tokenizer = try CLIPTokenizer(
            CLIPTokenizerFiles(model: .separate(vocabulary: vocabulary, merges: "#version: 0.2\n")))
        #expect(try tokenizer.ids("aba a") == [0, 3, 1, 1])
    }
}
