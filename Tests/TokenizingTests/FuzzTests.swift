import StrictJSON
import TestSupport
import Testing
import Tokenizing

@Suite struct TokenizerFuzzTests {
    /// Damaged files are refused, or give a tokenizer with all ids below its stated size.
    @Test(arguments: 0..<4) func damagedFilesAreRefusedOrEncode(seed: UInt64) throws {
        let vocabulary = """
            {"a":0,"b":1,"a</w>":2,"b</w>":3,"ab":4,"ab</w>":5,"abab</w>":6,"<|startoftext|>":7,"<|endoftext|>":8}
            """
        let merges = "#version: 0.2\na b\na b</w>\nab ab</w>\n"
        let configuration = """
            {"bos_token":{"content":"<|startoftext|>","normalized":true},"pad_token":"a","model_max_length":77,
            "added_tokens_decoder":{"9":{"content":"<c>","lstrip":false},"8":"<|endoftext|>"}}
            """
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for round in 0..<900 {
            var parts = [vocabulary, merges, configuration].map { Array($0.utf8) }
            parts[round % 3] = Mutation.mutate(parts[round % 3], using: &generator)
            do {
                let files = CLIPTokenizerFiles(
                    model: .separate(
                        vocabulary: try JSONValue(parsing: parts[0], limits: .config),
                        merges: String(decoding: parts[1], as: UTF8.self)),
                    configuration: try JSONValue(parsing: parts[2], limits: .config))
                let tokenizer = try CLIPTokenizer(files)
                let ids = try tokenizer.paddedIDs("abab <C>ab<|endoftext|> é aaab")
                #expect(ids.count == tokenizer.maxLength)
                #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) })
            } catch is JSONError { refused += 1 } catch is TokenizingError { refused += 1 }
        }
        #expect(refused > 300 && refused < 900)
    }

    /// The same for a file with vocabulary, merges and added tokens.
    @Test(arguments: 0..<4) func damagedDocumentsAreRefusedOrEncode(seed: UInt64) throws {
        let vocabulary: JSONValue = [
            "a": 0, "b": 1, "a</w>": 2, "b</w>": 3, "ab</w>": 4, "<|startoftext|>": 5, "<|endoftext|>": 6,
        ]
        let added: JSONValue = ["id": 7, "content": "<c>", "normalized": true]
        let text = tokenizerDocument(vocabulary, merges: "a b</w>\n", added: [added]).canonicalBytes()
        var generator = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<600 {
            do {
                let json = try JSONValue(parsing: Mutation.mutate(text, using: &generator), limits: .config)
                let tokenizer = try CLIPTokenizer(CLIPTokenizerFiles(model: .document(json)))
                let ids = try tokenizer.paddedIDs("ab <C>ab<|endoftext|> é aaab")
                #expect(ids.count == tokenizer.maxLength)
                #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) })
            } catch is JSONError { refused += 1 } catch is TokenizingError { refused += 1 }
        }
        #expect(refused > 300 && refused < 600)
    }

    /// Random text of all planes gives ids and never fails.
    @Test func anyTextIsEncoded() throws {
        let tokenizer = try smallTokenizer(merges: [("a", "b"), ("Ã", "©</w>"), ("ab", "Ã©</w>")])
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<500 {
            var text = ""
            for _ in 0..<Int.random(in: 0...30, using: &generator) {
                let limit: UInt32 = [0x80, 0x400, 0x3000, 0x11_0000].randomElement(using: &generator) ?? 0x80
                text.unicodeScalars.append(Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) ?? "a")
            }
            let ids = try tokenizer.paddedIDs(text)
            #expect(ids.count == 77 && ids.first == tokenizer.startID && ids.last == tokenizer.endID)
            #expect(ids.allSatisfy { (0..<tokenizer.vocabularySize).contains(Int($0)) })
        }
    }
}
