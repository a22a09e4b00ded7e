import DiffusionModels
import StrictJSON
import TensorCore
import Tokenizing
import Weights

/// What a text-to-image run is conditioned on: one row for each picture.
struct Conditioning {
    /// (n, tokens, width)
    var text: Tensor
    /// SDXL: (n, width)
    var pooled: Tensor?
    /// SDXL: six numbers a picture, (n, 6).
    var timeIDs: Tensor?
}

/// Prompts of a pipeline case, through tokenizers and text encoders.
struct PromptEncoder {
    let run: CaseRun
    let model: LoadedModel

    init(_ run: CaseRun) throws {
        self.run = run
        model = try run.model()
    }

    private var parts: [(tokenizer: String, encoder: String, ids: String)] {
        let first = (tokenizer: "tokenizer", encoder: "text_encoder", ids: "input_ids")
        guard model.isXL else { return [first] }
        return [first, (tokenizer: "tokenizer_2", encoder: "text_encoder_2", ids: "input_ids_2")]
    }

    /// Produces the ids: one row a prompt of a list; prompt and negative prompt otherwise.
    func produceIDs() throws {
        let parameters = run.parameters
        var prompts = try parameters.strings("prompt")
        if parameters.json["prompt"]?.stringValue != nil {
            prompts.append(try parameters.optionalString("negative_prompt") ?? "")
        }
        for part in parts {
            let tokenizer = try model.tokenizer(part.tokenizer)
            let rows = try prompts.map { try tokenizer.paddedIDs($0) }
            run.produce(
                part.ids, GoldenTensor(integers: rows.flatMap { $0.map(Int.init) }, shape: [rows.count, tokenizer.maxLength]))
        }
    }

    /// Encodes the prompts and, with guidance, the negative prompts, and produces the embeddings.
    func encode(guided: Bool) throws -> (positive: Conditioning, negative: Conditioning?) {
        let prompts = try run.parameters.strings("prompt")
        let second = try run.parameters.has("prompt_2") ? run.parameters.strings("prompt_2") : prompts
        guard second.count == prompts.count else { throw GoldenError.failed("\"prompt_2\" has another number of prompts") }
        let skip = try run.parameters.has("clip_skip") ? run.parameters.integer("clip_skip", in: 0...1000) : nil
        let positive = try conditioning([prompts, second], clipSkip: skip)
        produce(positive, prefix: "")
        guard guided else { return (positive, nil) }
        let text = try run.parameters.optionalString("negative_prompt")
        let negative: Conditioning
        if text == nil, model.isXL, try zeroesEmptyPrompt() {
            negative = Conditioning(
                text: Tensor(repeating: 0, shape: positive.text.shape),
                pooled: positive.pooled.map { Tensor(repeating: 0, shape: $0.shape) })
        } else {
            let rows = Array(repeating: text ?? "", count: prompts.count)
            // The reference leaves out no layers for the negative prompt.
            negative = try conditioning([rows, rows], clipSkip: nil)
        }
        produce(negative, prefix: "negative_")
        return (positive, negative)
    }

    /// SDXL pipelines condition on zeros where there is no negative prompt, unless `model_index.json` says otherwise.
    private func zeroesEmptyPrompt() throws -> Bool {
        try model.source.json("model_index.json")["force_zeros_for_empty_prompt"]?.boolValue ?? true
    }

    private func produce(_ conditioning: Conditioning, prefix: String) {
        run.produce(plain: prefix + "prompt_embeds", conditioning.text)
        if let pooled = conditioning.pooled { run.produce(plain: prefix + "pooled_prompt_embeds", pooled) }
    }

    /// - Parameter prompts: the rows for each text encoder.
    private func conditioning(_ prompts: [[String]], clipSkip skip: Int?) throws -> Conditioning {
        var text: Tensor?
        var pooled: Tensor?
        for (part, rows) in zip(parts, prompts) {
            let tokenizer = try model.tokenizer(part.tokenizer)
            let encoder = try model.textEncoder(part.encoder)
            let output = try encoder.encode(ids: rows.map { try tokenizer.paddedIDs($0) })
            guard model.isXL else {
                return Conditioning(
                    text: try skip.map { try encoder.normedState(output, clipSkip: $0) } ?? output.lastHiddenState)
            }
            let state = try encoder.state(output, clipSkip: (skip ?? 0) + 1)
            text = text.map { run.context.concatenateChannels($0, state) } ?? state
            pooled = output.pooled
        }
        guard let text else { throw GoldenError.failed("the model has no text encoder") }
        return Conditioning(text: text, pooled: pooled)
    }
}
