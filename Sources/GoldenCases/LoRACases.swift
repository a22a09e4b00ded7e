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
        let model = try LoadedModel(source, run.context)
        let unet = try model.unet()
        let input = try NetworkCases.unetInput(run, unet)
        run.produce(image: "unet", try unet.forward(input, switches: .plain))
        run.produce(image: "unet_without_lora", try plain.unet().forward(input, switches: .plain))
        try NetworkCases.encodePrompt(run, model)
        // Two weights as such: a matrix and a kernel.
        let weights = try source.weights(component: "unet")
        for layer in ["down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q", "mid_block.resnets.0.conv1"] {
            guard let shape = weights.shape(of: layer + ".weight") else {
                throw GoldenError.failed("the model has no \(layer)")
            }
            run.produce(plain: "merged:" + layer, try weights.tensor(layer + ".weight", shape: shape))
        }
    }
}
