import DiffusionModels
import TensorCore
import Weights

/// Checks that the networks of a model can be built: every tensor is there with its shape, and no tensor is left over. The
/// heads of the files are enough, so the user hears of a fault at once, not hours later from a worker.
struct ModelCheck {
    /// Notes that name the tensors left out on the user's request.
    private(set) var notes: [String] = []
    /// Whether the autoencoder has an encoder too. A decoder alone cannot start from a picture.
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

    /// To be called after the network is built and has taken its tensors.
    private mutating func note(_ weights: WeightScope, _ ignored: [String]) {
        if let left = weights.unknownNote(ignoring: ignored) { notes.append(left) }
    }
}
