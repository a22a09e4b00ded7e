import Foundation
import StrictJSON
import Testing
import Tokenizing
import Weights

/// The files of a tokenizer folder.
func tokenizerFiles(_ folder: URL) throws -> CLIPTokenizerFiles {
    func bytes(_ name: String) throws -> [UInt8]? {
        let url = folder.appendingPathComponent(name)
        return FileManager.default.fileExists(atPath: url.path) ? [UInt8](try Data(contentsOf: url)) : nil
    }
    func json(_ name: String) throws -> JSONValue? {
        try bytes(name).map { try JSONValue(parsing: $0, limits: .config) }
    }
    return CLIPTokenizerFiles(
        model: .separate(
            vocabulary: try #require(try json("vocab.json")),
            merges: String(decoding: try #require(try bytes("merges.txt")), as: UTF8.self)),
        configuration: try json("tokenizer_config.json"), specialTokens: try json("special_tokens_map.json"))
}

/// Runs a golden case: the ids of every prompt, cut and padded, and uncut if the case has them. Returns the number of
/// prompts.
func checkGoldenCase(_ folder: URL, tokenizer: CLIPTokenizer) throws -> Int {
    let data = try Data(contentsOf: folder.appendingPathComponent("case.json"))
    let parameters = try #require(try JSONValue(parsing: [UInt8](data), limits: .config)["params"])
    let prompts = try #require(parameters["prompts"]?.arrayValue).map { try #require($0.stringValue) }
    let expected = try SafetensorsFile(path: folder.appendingPathComponent("expected.safetensors").path)
    let padded = try expected.integers("ids_77")
    #expect(padded.count == prompts.count * 77)
    if let padding = parameters["pad_id"]?.intValue { #expect(Int(tokenizer.paddingID) == padding) }
    for (index, prompt) in prompts.enumerated() {
        let ids = try tokenizer.paddedIDs(prompt).map(Int.init)
        #expect(
            ids == Array(padded[(index * 77)..<(index * 77 + 77)]), "\(folder.lastPathComponent), prompt \(index): \(prompt)")
    }
    guard expected.tensors["ids_flat"] != nil else { return prompts.count }
    let (flat, lengths) = (try expected.integers("ids_flat"), try expected.integers("lengths"))
    #expect(lengths.count == prompts.count && lengths.reduce(0, +) == flat.count)
    var start = 0
    for (prompt, length) in zip(prompts, lengths) {
        let ids = [tokenizer.startID] + (try tokenizer.ids(prompt)) + [tokenizer.endID]
        #expect(ids.map(Int.init) == Array(flat[start..<(start + length)]), "\(prompt)")
        start += length
    }
    return prompts.count
}

/// A vocabulary of all bytes, the given merges and the two special tokens, built like CLIP's.
func smallVocabulary(merges: [(String, String)] = []) -> (json: JSONValue, merges: String) {
    let bytes =
        (33...126).map(byteSymbol) + (161...172).map(byteSymbol) + (174...255).map(byteSymbol) + (256..<324).map(byteSymbol)
    let tokens = bytes + bytes.map { $0 + "</w>" } + merges.map { $0.0 + $0.1 } + ["<|startoftext|>", "<|endoftext|>"]
    var object = JSONObject()
    for (id, token) in tokens.enumerated() { object[token] = .integer(Int64(id)) }
    return (.object(object), "#version: 0.2\n" + merges.map { "\($0.0) \($0.1)\n" }.joined())
}

private func byteSymbol(_ scalar: Int) -> String { Unicode.Scalar(UInt32(scalar)).map { String(Character($0)) } ?? "" }

/// A tokenizer with `smallVocabulary`.
func smallTokenizer(merges: [(String, String)] = [], configuration: JSONValue? = nil, specialTokens: JSONValue? = nil)
    throws(TokenizingError)
    -> CLIPTokenizer
{
    let vocabulary = smallVocabulary(merges: merges)
    return try CLIPTokenizer(
        CLIPTokenizerFiles(
            model: .separate(vocabulary: vocabulary.json, merges: vocabulary.merges), configuration: configuration,
            specialTokens: specialTokens))
}

/// The `TokenizingError` that `body` throws; nil if it throws none.
func tokenizingError(_ body: () throws -> Void) -> TokenizingError? {
    do {
        try body()
        return nil
    } catch { return error as? TokenizingError }
}
