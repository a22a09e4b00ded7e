import FoundationEssentials
import StrictJSON
import Tokenizing
import Weights

/// Token ids of prompts.
enum TokenizerCases {
    /// How long the rows of `ids_77` are.
    private static let rowLength = 77

    static func tokenize(_ run: CaseRun) throws {
        let tokenizer = try run.golden.model == nil ? fullVocabulary(run) : modelVocabulary(run)
        let prompts = try run.parameters.strings("prompts")
        if run.parameters.has("pad_id") {
            let padding = try run.parameters.integer("pad_id", in: 0...Int(Int32.max))
            guard Int(tokenizer.paddingID) == padding else {
                throw GoldenError.failed("the tokenizer pads with \(tokenizer.paddingID), not with \(padding)")
            }
        }
        var rows: [Int] = []
        var flat: [Int] = []
        var lengths: [Int] = []
        for prompt in prompts {
            rows += try tokenizer.paddedIDs(prompt, length: rowLength).map(Int.init)
            let ids = [tokenizer.startID] + (try tokenizer.ids(prompt)) + [tokenizer.endID]
            flat += ids.map(Int.init)
            lengths.append(ids.count)
        }
        run.produce("ids_77", GoldenTensor(integers: rows, shape: [prompts.count, rowLength]))
        if run.expects("ids_flat") { run.produce("ids_flat", GoldenTensor(integers: flat, shape: [flat.count])) }
        if run.expects("lengths") { run.produce("lengths", GoldenTensor(integers: lengths, shape: [lengths.count])) }
    }

    private static func modelVocabulary(_ run: CaseRun) throws -> CLIPTokenizer {
        let (source, part) = (try run.model().source, try run.parameters.string("part"))
        let files = try CLIPTokenizerFiles(
            folder: part, names: source.tokenizerFiles(part), exists: source.exists, json: source.json, text: source.text)
        return try CLIPTokenizer(files)
    }

    /// CLIP's own vocabulary, which belongs to no model folder: `data/clip-bpe` in a folder above the case.
    private static func fullVocabulary(_ run: CaseRun) throws -> CLIPTokenizer {
        let folder = try run.golden.resolve("data/clip-bpe")
        func bytes(_ name: String) throws(GoldenError) -> [UInt8] {
            guard let data = FileManager.default.contents(atPath: folder + "/" + name) else {
                throw .failed("\(folder)/\(name) cannot be read")
            }
            return [UInt8](data)
        }
        let vocabulary = try JSONValue(parsing: bytes("vocab.json"), limits: .config)
        guard let merges = String(validating: try bytes("merges.txt"), as: UTF8.self) else {
            throw GoldenError.failed("\(folder)/merges.txt is not UTF-8")
        }
        return try CLIPTokenizer(CLIPTokenizerFiles(model: .separate(vocabulary: vocabulary, merges: merges)))
    }
}
