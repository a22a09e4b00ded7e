import Acceleration
import DiffusionModels
import Rendering
import TensorCore
import Weights

/// Files of weights.
enum WeightCases {
    /// A LoRA merged into the weights of networks.
    static func mergeLoRA(_ run: CaseRun) throws {
        let plain = try run.model()
        let file = try LoRAFile(path: run.golden.resolve(run.parameters.string("lora")))
        let source = try plain.source.applying([LoRAUse(file, scale: LoRAScale(run.parameters.number("scale")))])
        let model = try LoadedModel(source, run.context)
        let unet = try model.networks.unet()
        let input = try NetworkCases.unetInput(run, unet)
        run.produce(image: "unet", try unet.forward(input, switches: .plain))
        run.produce(image: "unet_without_lora", try plain.networks.unet().forward(input, switches: .plain))
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

    /// Files that must be refused.
    static func refuse(_ run: CaseRun) throws {
        let path = try run.golden.resolve(run.parameters.string("file"))
        var refused = false
        do throws(WeightsError) { _ = try SafetensorsFile(path: path) } catch {
            guard error.code != .notFound, error.code != .unreadable else { throw GoldenError.failed("\(error)") }
            refused = true
        }
        run.produce("refused", GoldenTensor(integers: [refused ? 1 : 0], shape: [1]))
    }
}
