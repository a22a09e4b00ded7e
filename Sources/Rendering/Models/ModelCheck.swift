import DiffusionModels
import TensorCore
import Weights

/// Whether the networks of a model can be built: every tensor is there with its shape, and nothing inside of them is left over.
/// The heads of the files tell, before anything is computed and where the user is, not hours later on a worker.
struct ModelCheck {
    /// What is left out because the user asked for it.
    private(set) var notes: [String] = []
    /// Whether the autoencoder has an encoder too. A decoder alone makes pictures, but none from another picture.
    private(set) var hasEncoder = true

    /// - Throws: `.badModel` that names the tensor.
    init(_ source: ModelSource, _ parts: ModelParts) throws(RenderError) {
        guard source.hasWeights else { return }
        let context = ComputeContext.forShapes()
        func weights(_ component: String) throws(RenderError) -> WeightScope {
            try RenderError.model(source) { try source.weights(component: component).shapesOnly }
        }
        let unet = try weights("unet")
        _ = try RenderError.model(source) { try UNet(unet, configuration: parts.unet, context: context) }
        note(unet, [])
        let vae = try weights("vae")
        _ = try RenderError.model(source) { try VAEDecoder(vae, configuration: parts.vae, context: context) }
        hasEncoder = vae.hasUntaken(below: "encoder")
        if hasEncoder {
            _ = try RenderError.model(source) { try VAEEncoder(vae, configuration: parts.vae, context: context) }
            note(vae, [])
        }
        for (component, configuration) in zip(ModelFamily.textEncoders, parts.texts) {
            let text = try weights(component)
            _ = try RenderError.model(source) { try CLIPTextModel(text, configuration: configuration, context: context) }
            note(text, CLIPTextModel.ignoredTensors)
        }
    }

    /// To be called when the network was built: it has taken all that it knows.
    private mutating func note(_ weights: WeightScope, _ ignored: [String]) {
        if let left = weights.unknownNote(ignoring: ignored) { notes.append(left) }
    }
}
