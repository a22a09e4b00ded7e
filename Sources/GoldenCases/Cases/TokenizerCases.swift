import Tokenizing
import Weights

/// Token ids of prompts.
enum TokenizerCases {
    /// The number of ids in each row of `ids_77`.
    private static let rowLength = 77

    static func tokenize(_ run: CaseRun) throws {
        let tokenizer = try tokenizer(run)
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

    /// The tokenizer of the case's model; without one CLIP's own, which the program carries for models in single files.
    private static func tokenizer(_ run: CaseRun) throws -> CLIPTokenizer {
        let hasModel = run.golden.model != nil
        let source = hasModel ? try run.model().source : .withoutWeights(.stableDiffusion1)
        let part = hasModel ? try run.parameters.string("part") : "tokenizer"
        let files = try CLIPTokenizerFiles(
            folder: part, names: source.tokenizerFiles(part), exists: source.exists, json: source.json, text: source.text)
        return try CLIPTokenizer(files)
    }
}
