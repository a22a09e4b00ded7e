import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizing

/// A token as `added_tokens` describes it.
private func added(_ content: String, _ id: Int64, normalized: Bool = false) -> JSONValue {
    [
        "id": .integer(id), "content": .string(content), "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": .bool(normalized), "special": true,
    ]
}

/// The files with `tokenizer.json` instead of vocabulary and merges, and a configuration of plain strings, as transformers 5
/// saves them: the last role of a token describes it.
func inOneFile(_ files: CLIPTokenizerFiles, isText: Bool = false) throws -> CLIPTokenizerFiles {
    guard case .separate(let vocabulary, let merges) = files.model else { return files }
    var configuration: JSONValue = ["tokenizer_class": "CLIPTokenizer"]
    var isNormalized: [String: Bool] = [:]
    for role in ["bos_token", "eos_token", "unk_token", "pad_token"] {
        let fallback: JSONValue = role == "bos_token" ? "<|startoftext|>" : "<|endoftext|>"
        let token = files.specialTokens?[role] ?? files.configuration?[role] ?? fallback
        let content = try #require(token.stringValue ?? token["content"]?.stringValue)
        configuration = configuration.changing([role], to: .string(content))
        isNormalized[content] = token["normalized"]?.boolValue ?? false
    }
    let tokens = try isNormalized.sorted { $0.key < $1.key }.map { content, isNormalized in
        added(content, Int64(try #require(vocabulary[content]?.intValue)), normalized: isNormalized)
    }
    return CLIPTokenizerFiles(
        model: .document(tokenizerDocument(vocabulary, merges: merges, added: tokens, isText: isText)),
        configuration: configuration)
}

extension JSONValue {
    /// The value with a change at a path of keys; nil removes the member.
    fileprivate func changing(_ path: [String], to value: JSONValue?) -> JSONValue {
        guard let key = path.first else { return value ?? .null }
        var object = objectValue ?? JSONObject()
        object[key] =
            path.count == 1 ? value : (object[key] ?? .object(JSONObject())).changing(Array(path.dropFirst()), to: value)
        return .object(object)
    }
}

private let small = smallVocabulary(merges: [("a", "b"), ("ab", "c</w>")])
private let smallDocument = tokenizerDocument(
    small.json, merges: small.merges, added: [added("<|startoftext|>", 514, normalized: true), added("<|endoftext|>", 515)])

private func tokenizer(
    _ document: JSONValue, configuration: JSONValue? = nil, specialTokens: JSONValue? = nil, addedTokens: JSONValue? = nil
) throws -> CLIPTokenizer {
    try CLIPTokenizer(
        CLIPTokenizerFiles(
            model: .document(document), configuration: configuration, specialTokens: specialTokens, addedTokens: addedTokens))
}

@Suite struct TokenizerDocumentTests {
    private let separate = CLIPTokenizerFiles(model: .separate(vocabulary: small.json, merges: small.merges))

    @Test(arguments: [false, true]) func idsAreThoseOfVocabularyAndMerges(isText: Bool) throws {
        let plain = try CLIPTokenizer(separate)
        let other = try CLIPTokenizer(inOneFile(separate, isText: isText))
        for text in ["", "abc ab ABC abab", "a cat's  \n<|startoftext|>b<|endoftext|> é!", "<|StartOfText|> 12"] {
            #expect(try other.paddedIDs(text) == plain.paddedIDs(text), "\(text)")
        }
        #expect(other.paddingID == plain.paddingID && other.vocabularySize == plain.vocabularySize)
    }

    @Test func mergesMayBeginWithAVersionLine() throws {
        let document = smallDocument.changing(["model", "merges"], to: ["#version: 0.2", "a b", ["ab", "c</w>"]])
        #expect(try tokenizer(document).ids("abc") == CLIPTokenizer(separate).ids("abc"))
    }

    /// Tokens as textual inversion adds them: looked for in normalised text, or as they are written.
    @Test func addedTokensStandBehindTheVocabulary() throws {
        let tokens = [added("<Cat-toy>", 516, normalized: true), added("<S1>", 517), added("<|endoftext|>", 515)]
        let document = smallDocument.changing(["added_tokens"], to: .array(tokens))
        for configuration in [nil, ["extra_special_tokens": ["<S1>"]], ["extra_special_tokens": ["toy": "<Cat-toy>"]]]
            as [JSONValue?]
        {
            let found = try tokenizer(document, configuration: configuration)
            #expect(found.vocabularySize == 518)
            #expect(try found.ids("<cat-TOY><S1><s1>") == [516, 517] + found.ids("<s1>"))
            #expect(try !found.ids("<s1>").contains(517))
        }
        // The vocabulary may lack them, start and end included.
        var vocabulary = small.json.objectValue ?? JSONObject()
        for token in ["<|startoftext|>", "<|endoftext|>"] { vocabulary[token] = nil }
        let bare = document.changing(["model", "vocab"], to: .object(vocabulary))
            .changing(["added_tokens"], to: .array(tokens + [added("<|startoftext|>", 514)]))
        let found = try tokenizer(bare)
        #expect(found.startID == 514 && found.endID == 515)
        #expect(try found.ids("<cat-toy> a") == tokenizer(document).ids("<cat-toy> a"))
    }

    @Test func rolesComeFromTheOtherFiles() throws {
        let document = smallDocument.changing(
            ["added_tokens"], to: [added("!", 0), added("<|endoftext|>", 515, normalized: true)])
        let padded = try tokenizer(document, configuration: ["pad_token": "!", "extra_special_tokens": [:]])
        #expect(padded.paddingID == 0 && padded.endID == 515)
        #expect(try padded.ids("!!<|EndOfText|>") == [0, 0, 515])
        #expect(try tokenizer(document).paddingID == 515)
        #expect(try tokenizer(document, configuration: ["pad_token": "?"], specialTokens: ["pad_token": "!"]).paddingID == 0)
        let decoder: JSONValue = [
            "pad_token": "!", "added_tokens_decoder": ["515": ["content": "<|endoftext|>", "normalized": false]],
        ]
        let plain = smallDocument.changing(["added_tokens"], to: [added("<|endoftext|>", 515, normalized: true)])
        #expect(try !tokenizer(plain, configuration: decoder).ids("<|EndOfText|>").contains(515))
    }

    /// Settings that do not affect ids, and the forms of other releases.
    @Test func whatGivesTheSameIdsIsAccepted() throws {
        let ids = try tokenizer(smallDocument).paddedIDs("abc's <|endoftext|> 12")
        let old = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
        let split: JSONValue = ["type": "Split", "pattern": ["Regex": .string(old)], "behavior": "Removed", "invert": true]
        let level: JSONValue = ["type": "ByteLevel", "add_prefix_space": false]
        func special(_ token: String) -> JSONValue { ["SpecialToken": ["id": .string(token), "type_id": 0]] }
        func entry(_ token: String, _ id: Int64) -> JSONValue {
            ["id": .string(token), "ids": [.integer(id)], "tokens": [.string(token)]]
        }
        let template: JSONValue = [
            "type": "TemplateProcessing",
            "single": [special("<|startoftext|>"), ["Sequence": ["id": "A", "type_id": 0]], special("<|endoftext|>")],
            "special_tokens": ["<|startoftext|>": entry("<|startoftext|>", 514), "<|endoftext|>": entry("<|endoftext|>", 515)],
        ]
        for (path, value) in [
            (["truncation"], nil), (["padding"], ["length": 12]), (["decoder"], ["type": "Unknown"]), (["model", "type"], nil),
            (["model", "dropout"], 0.0), (["model", "continuing_subword_prefix"], .null), (["model", "fuse_unk"], nil),
            (["model", "unk_token"], .null), (["pre_tokenizer", "pretokenizers"], [split, level]), (["post_processor"], nil),
            (["post_processor"], template),
            (["post_processor"], ["type": "Sequence", "processors": [["type": "ByteLevel"], template]]),
        ] as [([String], JSONValue?)] {
            #expect(
                try tokenizer(smallDocument.changing(path, to: value)).paddedIDs("abc's <|endoftext|> 12") == ids,
                "\(path) \(String(describing: value))")
        }
    }

    private static let generalClasses = ["TokenizersBackend", "PreTrainedTokenizerFast"]

    /// Classes that follow the file count as this tokenizer if the file has its steps.
    @Test(arguments: generalClasses) func theStepsDecideForGeneralClasses(name: String) throws {
        let text = "abc's <|endoftext|> 12"
        let ids = try tokenizer(smallDocument).paddedIDs(text)
        #expect(try tokenizer(smallDocument, configuration: ["tokenizer_class": .string(name)]).paddedIDs(text) == ids)
        var both = separate
        (both.configuration, both.beside) = (["tokenizer_class": .string(name)], smallDocument)
        #expect(try CLIPTokenizer(both).paddedIDs(text) == ids)
        for (path, value) in [
            (["normalizer"], ["type": "NFKC"]), (["pre_tokenizer"], ["type": "Whitespace"]), (["post_processor"], nil),
            (["post_processor"], ["type": "ByteLevel"]), (["model", "ignore_merges"], true),
        ] as [([String], JSONValue?)] {
            let other = smallDocument.changing(path, to: value)
            let error = tokenizingError { _ = try tokenizer(other, configuration: ["tokenizer_class": .string(name)]) }
            #expect(error?.code == .unsupported && error?.message.contains(path.last ?? "") == true, "\(error as Any)")
            both.beside = other
            #expect(tokenizingError { _ = try CLIPTokenizer(both) }?.code == .unsupported)
        }
        let another = tokenizingError {
            _ = try tokenizer(smallDocument, configuration: ["tokenizer_class": "T5TokenizerFast"])
        }
        #expect(another?.code == .unsupported)
    }

    @Test(arguments: [[], ["#version: 0.2"], ["a b"], [["a", "b"]]] as [JSONValue])
    func rulesThatWereLostAreMissed(merges: JSONValue) throws {
        let error = tokenizingError { _ = try tokenizer(smallDocument.changing(["model", "merges"], to: merges)) }
        #expect(error?.code == .malformedMerges, "\(error as Any)")
        #expect(error?.message.hasPrefix("tokenizer.json, model.merges: ") == true, "\(error as Any)")
        #expect(error?.message.contains(" \"ab") == true, "the token: \(error as Any)")
    }

    @Test(
        arguments: [
            (["model", "type"], "WordPiece"), (["model", "type"], "Unigram"), (["model", "dropout"], 0.1),
            (["model", "continuing_subword_prefix"], "##"), (["model", "end_of_word_suffix"], .null),
            (["model", "end_of_word_suffix"], "_"), (["model", "fuse_unk"], true), (["model", "byte_fallback"], true),
            (["model", "ignore_merges"], true), (["model", "unk_token"], "!"), (["normalizer"], .null),
            (["normalizer"], ["type": "NFKC"]), (["normalizer"], ["type": "Sequence", "normalizers": [["type": "NFC"]]]),
            (
                ["normalizer"],
                ["type": "Sequence", "normalizers": [["type": "NFC"], ["type": "Lowercase"], ["type": "Lowercase"]]]
            ),
            (["pre_tokenizer"], .null), (["pre_tokenizer"], ["type": "Whitespace"]),
            (["pre_tokenizer"], ["type": "ByteLevel", "add_prefix_space": true]),
            (
                ["post_processor"],
                ["type": "RobertaProcessing", "sep": ["<|endoftext|>", 0], "cls": ["<|startoftext|>", 514]]
            ),
            (["post_processor"], ["type": "RobertaProcessing", "sep": ["<|endoftext|>", 515], "cls": ["a", 514]]),
            (["post_processor"], ["type": "TemplateProcessing", "single": []]), (["post_processor"], ["type": "Magic"]),
        ] as [([String], JSONValue)])
    func whatGivesOtherIdsIsRefusedByName(path: [String], value: JSONValue) throws {
        let error = try #require(tokenizingError { _ = try tokenizer(smallDocument.changing(path, to: value)) })
        #expect(error.code == .unsupported && error.message.hasPrefix("tokenizer.json: "))
        #expect(error.message.contains(path[0]) && error.message.contains(path.last ?? ""), "\(error)")
    }

    @Test func anotherStepIsNamed() throws {
        let steps = smallDocument["pre_tokenizer"]?["pretokenizers"]?.arrayValue ?? []
        let more = smallDocument.changing(["pre_tokenizer", "pretokenizers"], to: .array(steps + [["type": "Digits"]]))
        let error = try #require(tokenizingError { _ = try tokenizer(more) })
        #expect(error.message.contains("Digits"))
    }

    @Test(
        arguments: [
            ([], nil, "null"), ([], [], "not an object"), (["model"], nil, "model"), (["model"], "BPE", "model"),
            (["model", "vocab"], nil, "model.vocab"), (["model", "vocab"], [], "model.vocab"),
            (["model", "vocab"], ["a": 1], "model.vocab"), (["model", "merges"], nil, "model.merges"),
            (["model", "merges"], "a b", "model.merges"), (["model", "merges"], [["a", "b"], ["a"]], "entry 1"),
            (["model", "merges"], [["a", "b", "c"]], "entry 0"), (["model", "merges"], [["a", 1]], "entry 0"),
            (["model", "merges"], [["", "a"]], "entry 0"), (["model", "merges"], [.null], "entry 0"),
            (["model", "merges"], ["a b", "a b"], "entry 1"), (["model", "merges"], [["zz", "b"]], "zz"),
            (["added_tokens"], "x", "added_tokens"), (["added_tokens"], ["<a>"], "added_tokens, entry 0"),
            (["added_tokens"], [["content": "<a>"]], "added_tokens, entry 0"),
            (["added_tokens"], [["id": 516]], "added_tokens, entry 0"),
            (["added_tokens"], [["id": -1, "content": "<a>"]], "added_tokens, entry 0"),
            (["added_tokens"], [["id": 4_294_967_296, "content": "<a>"]], "added_tokens, entry 0"),
            (["added_tokens"], [["id": 600, "content": "<a>"]], "<a>"), (["added_tokens"], [["id": 5, "content": "!"]], "!"),
            (["added_tokens"], [["id": 516, "content": "<a>"], ["id": 517, "content": "<a>"]], "<a>"),
            (["added_tokens"], [["id": 516, "content": "<a>", "lstrip": true]], "lstrip"),
        ] as [([String], JSONValue?, String)])
    func damagedFilesAreRefusedWithThePlace(path: [String], value: JSONValue?, mentions: String) throws {
        let error = try #require(tokenizingError { _ = try tokenizer(smallDocument.changing(path, to: value)) })
        #expect(error.message.contains(mentions) && error.message.hasSuffix("."), "\(error)")
    }

    /// Added tokens of several files must have the same ids.
    @Test func filesThatContradictEachOtherAreRefused() throws {
        let document = smallDocument.changing(["added_tokens"], to: [added("<a>", 516)])
        #expect(try tokenizer(document, addedTokens: ["<a>": 516]).ids("<a>") == [516])
        for (configuration, added) in [
            (nil, ["<a>": 517]), (["added_tokens_decoder": ["517": "<a>"]], nil),
            (["added_tokens_decoder": ["515": "<|endoftext|>"]], nil),
        ] as [(JSONValue?, JSONValue?)] {
            let error = tokenizingError { _ = try tokenizer(document, configuration: configuration, addedTokens: added) }
            #expect(error?.code == .malformedConfiguration && error?.message.contains("\"<a>\"") == true)
        }
    }
}

/// A folder with `vocab.json`, `merges.txt` and `tokenizer.json`.
@Suite struct BothFormsTests {
    private func tokenizer(beside: JSONValue) throws -> CLIPTokenizer {
        try CLIPTokenizer(
            CLIPTokenizerFiles(model: .separate(vocabulary: small.json, merges: small.merges), beside: beside))
    }

    @Test func whatAgreesOrIsNoTokenizerOfTheKindIsPassedOver() throws {
        let ids = try CLIPTokenizer(CLIPTokenizerFiles(model: .separate(vocabulary: small.json, merges: small.merges)))
            .paddedIDs("abc é")
        let normalizer = smallDocument.changing(["normalizer"], to: .null)
        for beside in [smallDocument, normalizer, [], ["model": ["type": "Unigram"]]] as [JSONValue] {
            #expect(try tokenizer(beside: beside).paddedIDs("abc é") == ids)
        }
    }

    @Test func whatDisagreesIsRefused() throws {
        let swapped: JSONValue = [["ab", "c</w>"], ["a", "b"]]
        var ids = small.json.objectValue ?? JSONObject()
        (ids["a"], ids["b"]) = (ids["b"], ids["a"])
        for (path, value, mentions) in [
            (["model", "merges"], swapped, "merges"), (["model", "vocab"], .object(ids), "\"a\""),
            (["added_tokens"], [added("<cat-toy>", 516)], "<cat-toy>"),
        ] as [([String], JSONValue, String)] {
            let error = try #require(
                tokenizingError { _ = try tokenizer(beside: smallDocument.changing(path, to: value)) })
            #expect(error.code == .malformedConfiguration && error.message.contains(mentions), "\(error)")
            #expect(error.message.contains("tokenizer.json and vocab.json with merges.txt"))
        }
    }
}
