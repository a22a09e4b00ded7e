import Acceleration
import DiffusionModels
import TensorCore
import Weights

/// Networks with a LoRA file merged into their weights.
enum LoRACases {
    static func merged(_ run: CaseRun) throws {
        let plain = try run.model()
        let file = try LoRAFile(path: run.golden.resolve(run.parameters.string("lora")))
        let source = try plain.source.applying([LoRAUse(file, scale: LoRAScale(run.parameters.number("scale")))])
        let model = LoadedModel(source, context: run.context)
        let unet = try model.unet()
        let input = try NetworkCases.unetInput(run, unet)
        run.produce(image: "unet", try unet.forward(input, plan: .plain))
        run.produce(image: "unet_without_lora", try plain.unet().forward(input, plan: .plain))
        try encodeText(run, model)
        // Two weights as such: a matrix and a kernel.
        let weights = try source.weights(component: "unet")
        for layer in ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.resnets.0.conv1"] {
            guard let shape = weights.shape(of: layer + ".weight") else {
                throw GoldenError.failed("the model has no \(layer)")
            }
            run.produce(plain: "merged:" + layer, try weights.tensor(layer + ".weight", shape: shape))
        }
    }

    private static func encodeText(_ run: CaseRun, _ model: LoadedModel) throws {
        let (ids, shape) = try run.integers("input_ids", [nil, nil])
        let rows = NetworkCases.rows(ids, length: shape[1])
        let text = try model.textEncoder("text_encoder")
        let output = try text.encode(ids: rows)
        run.produce(plain: "text_last_hidden", output.lastHiddenState)
        run.produce(plain: "text_penultimate", try text.state(output, clipSkip: 1))
        guard model.isXL else { return }
        let second = try model.textEncoder("text_encoder_2")
        let pooled = try second.encode(ids: rows)
        run.produce(plain: "text2_penultimate", try second.state(pooled, clipSkip: 1))
        run.produce(plain: "text2_embeds", pooled.pooled)
    }
}
