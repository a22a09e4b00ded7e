import Foundation
import StrictJSON
import TestSupport
import Testing
import Tokenizing
import Weights

@Suite struct GoldenTests {
    @Test func theTinyModelsPromptsAreEncodedAsTheReferenceDoes() throws {
        let folder = Fixtures.folder.appendingPathComponent("tokenizing")
        let tokenizer = try CLIPTokenizer(tokenizerFiles(folder.appendingPathComponent("tokenizer")))
        #expect(tokenizer.startID == 2512 && tokenizer.endID == 2513 && tokenizer.vocabularySize == 2514)
        #expect(try checkGoldenCase(folder, tokenizer: tokenizer) == 40)
    }

    /// The same files as one `tokenizer.json`, in both ways of writing merges.
    @Test(arguments: [false, true]) func theIdsOfOneFileAreTheReferences(isText: Bool) throws {
        let folder = Fixtures.folder.appendingPathComponent("tokenizing")
        let files = try inOneFile(tokenizerFiles(folder.appendingPathComponent("tokenizer")), isText: isText)
        #expect(try checkGoldenCase(folder, tokenizer: CLIPTokenizer(files)) == 40)
    }

    /// All vocabularies of the full set as one file, among them CLIP's whole one, where they are at hand.
    /// `GoldenCases` reads them as they are.
    @Test(.enabled(if: Fixtures.sharedGolden != nil)) func allReferenceCasesAgree() throws {
        let golden = try #require(Fixtures.sharedGolden)
        let cases = golden.appendingPathComponent("cases/tokenizer")
        let names = try FileManager.default.contentsOfDirectory(atPath: cases.path).sorted()
        var prompts = 0
        for name in names {
            let folder = cases.appendingPathComponent(name)
            let text = [UInt8](try Data(contentsOf: folder.appendingPathComponent("case.json")))
            let json = try JSONValue(parsing: text, limits: .config)
            let files: CLIPTokenizerFiles
            if let model = json["model"]?.stringValue {
                let part = try #require(json["params"]?["part"]?.stringValue)
                let source = try ModelSource.folder(golden.appendingPathComponent(model).path)
                files = try CLIPTokenizerFiles(
                    folder: part, names: source.tokenizerFiles(part), exists: source.exists, json: source.json,
                    text: source.text)
            } else {
                files = try tokenizerFiles(golden.deletingLastPathComponent().appendingPathComponent("data/clip-bpe"))
            }
            prompts += try checkGoldenCase(folder, tokenizer: CLIPTokenizer(inOneFile(files)))
        }
        #expect(names.count >= 4 && prompts >= 190)
    }
}
