import ContentHash
import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizing
import Weights

private let tiny = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15")

/// A copy of the tiny model whose tokenizer is one file.
private func copyInOneFile(_ target: URL) throws {
    try FileManager.default.copyItem(at: tiny, to: target)
    try putTokenizerInOneFile(target.appendingPathComponent("tokenizer"))
}

private func tokenizer(_ source: ModelSource) throws -> CLIPTokenizer {
    try CLIPTokenizer(
        CLIPTokenizerFiles(
            folder: "tokenizer", names: source.tokenizerFiles("tokenizer"), exists: source.exists, json: source.json,
            text: source.text))
}

@Suite struct TokenizerFilesTests {
    @Test func vocabularyAndMergesGoBeforeTheOneFile() throws {
        func names(_ files: [String]) throws -> [String] {
            let files = Dictionary(uniqueKeysWithValues: files.map { ("tokenizer/" + $0, permanent([1])) })
            return try ModelSource.embedded(name: "any", files: files).tokenizerFiles("tokenizer")
        }
        #expect(try names(["vocab.json", "merges.txt", "tokenizer.json"]) == ["vocab.json", "merges.txt"])
        #expect(try names(["vocab.json", "tokenizer.json"]) == ["tokenizer.json"])
        #expect(
            try names(["merges.txt", "tokenizer.json", "added_tokens.json", "special_tokens_map.json"])
                == ["tokenizer.json", "special_tokens_map.json", "added_tokens.json"])
        for (files, missing) in [
            ([], "any/tokenizer/vocab.json and any/tokenizer/merges.txt are not there"),
            (["vocab.json"], "any/tokenizer/merges.txt is not there"),
            (["merges.txt"], "any/tokenizer/vocab.json is not there"),
        ] {
            let error = try #require(weightsError { _ = try names(files + ["tokenizer_config.json"]) })
            #expect(error.code == .notFound && error.message.contains("\(missing), nor a tokenizer.json"), "\(error)")
        }
    }

    @Test func theOneFileCountsForTheIdentity() throws {
        try withTemporaryFolder { folder throws in
            let model = folder.appendingPathComponent("model")
            try copyInOneFile(model)
            let one = try ModelSource.folder(model.path).identity()
            #expect(try one != ModelSource.folder(tiny.path).identity())
            let path = model.appendingPathComponent("tokenizer/tokenizer.json")
            try Data(try Data(contentsOf: path) + [0x20]).write(to: path)
            #expect(try ModelSource.folder(model.path).identity() != one)
        }
    }

    /// Merges with the line ends of other systems are read. Merges without line ends, or with lost lines, are refused.
    @Test(arguments: [
        ("\n", "\n", true), ("\r\n", "\r\n", true), ("\r\n", "\r\n\r\n\r\n", true), ("\r\n", "", true),
        ("\n", "\n\r\n\n", true),
        ("\r", "\r", false), ("\n", "CUT", false),
    ]) func rulesComeWithTheirLineEnds(ending: String, last: String, isRead: Bool) throws {
        try withTemporaryFolder { folder throws in
            let model = folder.appendingPathComponent("model")
            try FileManager.default.copyItem(at: tiny, to: model)
            let path = model.appendingPathComponent("tokenizer/merges.txt")
            var lines = String(decoding: try Data(contentsOf: path), as: UTF8.self).split(separator: "\n")
            if last == "CUT" { lines.removeLast(lines.count / 2) }
            try Data((lines.joined(separator: ending) + (last == "CUT" ? "\n" : last)).utf8).write(to: path)
            let prompt = "Naïve CAFÉ, 3 red-hot dogs!!"
            guard isRead else {
                #expect(throws: TokenizingError.self) { _ = try tokenizer(.folder(model.path)) }
                return
            }
            #expect(try tokenizer(.folder(model.path)).paddedIDs(prompt) == tokenizer(.folder(tiny.path)).paddedIDs(prompt))
        }
    }

    /// The file is read from the folder, from the store, and as part of the configuration of a checkpoint in one file.
    @Test func theOneFileGoesWithTheModel() throws {
        try withTemporaryFolder { folder throws in
            let model = folder.appendingPathComponent("model")
            try copyInOneFile(model)
            let prompt = "Naïve CAFÉ, 3 red-hot dogs!!"
            let ids = try tokenizer(.folder(tiny.path)).paddedIDs(prompt)
            #expect(try tokenizer(.folder(model.path)).paddedIDs(prompt) == ids)
            let store = ModelStore(folder: folder.appendingPathComponent("store").path)
            let stored = try store.importModel(ModelChoice(path: model.path), name: "tiny")
            #expect(try tokenizer(store.open(stored)).paddedIDs(prompt) == ids)
            #expect(try store.open(stored).identity() == ModelSource.folder(model.path).identity())
            let checkpoint = folder.appendingPathComponent("one.safetensors")
            try Data(FileTensor.file(SingleFiles.checkpoint(of: tiny, .first))).write(to: checkpoint)
            var choice = ModelChoice(path: checkpoint.path)
            choice.configuration = model.path
            #expect(try tokenizer(.open(choice)).paddedIDs(prompt) == ids)
        }
    }
}

/// Text as editors and other systems write it.
@Suite struct TextFileTests {
    private func source(_ text: [UInt8]) -> ModelSource {
        .embedded(name: "any", files: ["merges.txt": permanent(text), "config.json": permanent(text)])
    }

    @Test(arguments: [
        "#version\na b\nc d\n", "#version\r\na b\r\nc d\r\n", "\u{FEFF}#version\na b\nc d\n",
        "\u{FEFF}#version\r\na b\r\nc d\r\n",
        "#version\r\na b\nc d\r\n",
    ])
    func lineEndsAndMarksAreNoPartOfAText(text: String) throws {
        #expect(try source(Array(text.utf8)).text("merges.txt") == "#version\na b\nc d\n")
    }

    /// A carriage return that ends no line is content, and so is a mark that does not stand first.
    @Test(arguments: ["a\rb\n", "a b\r", "\r\r", "a\u{FEFF}\n"]) func everythingElseStays(text: String) throws {
        #expect(try source(Array(text.utf8)).text("merges.txt").utf8.elementsEqual(text.utf8))
    }

    @Test(arguments: ["{\"a\":1}", "\u{FEFF}{\"a\":1}", "\u{FEFF}{\r\n  \"a\": 1\r\n}\r\n", "{\r\"a\":1}"])
    func aMarkMayStandBeforeJSON(text: String) throws {
        #expect(try source(Array(text.utf8)).json("config.json") == ["a": 1])
    }

    @Test(arguments: ["\u{FEFF}\u{FEFF}{}", "{\u{FEFF}}", "{}\u{FEFF}", "\u{FEFF}"]) func marksElsewhereAreRefused(text: String)
    {
        #expect(weightsError { _ = try source(Array(text.utf8)).json("config.json") }?.code == .malformed)
    }

    /// UTF-16, as some editors write it.
    @Test func otherEncodingsAreRefused() {
        let wide: [UInt8] = [0xFF, 0xFE, 0x7B, 0, 0x7D, 0]
        #expect(weightsError { _ = try source(wide).json("config.json") }?.code == .malformed)
        #expect(weightsError { _ = try source(wide).text("merges.txt") }?.code == .malformed)
    }
}
