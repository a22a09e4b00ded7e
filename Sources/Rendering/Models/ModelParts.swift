import DiffusionModels
import StrictJSON
package import Weights

/// The configurations of a model's networks.
package struct ModelParts {
    let unet: UNetConfiguration
    let vae: VAEConfiguration
    /// Of the family's text encoders, in order.
    let texts: [CLIPTextConfiguration]
    /// Whether an empty negative prompt stands for zeros instead of being encoded.
    let zeroesEmptyPrompt: Bool
    /// What the networks were configured from.
    let configuration: ModelConfiguration

    package var architecture: ModelArchitecture { configuration.architecture }

    /// Reads and checks what a model says of itself. No weight is read.
    init(_ source: ModelSource) throws(RenderError) {
        // Pipelines that cannot be run are named here, before other files are read.
        try RenderError.model(source) { try source.checkComponents() }
        let configuration = try RenderError.model(source) { try ModelConfiguration(source) }
        self.configuration = configuration
        unet = try RenderError.model(source) { try UNetConfiguration(json: configuration.unet) }
        vae = try RenderError.model(source) { try VAEConfiguration(json: configuration.vae) }
        let family = configuration.architecture.family
        let encoders = family.textEncoders
        var texts: [CLIPTextConfiguration] = []
        for encoder in encoders {
            let file = "\(encoder)/config.json"
            texts.append(try RenderError.model(source) { try CLIPTextConfiguration(json: source.json(file), file: file) })
        }
        self.texts = texts
        zeroesEmptyPrompt = family.zeroesEmptyPrompt ? try ModelParts.forcesZeros(source) : false
        try checkNetworks(source)
        // A file that is cut short is found here, from its head, and not after hours of work.
        for component in encoders + ["unet", "vae"] {
            _ = try RenderError.model(source) { try source.weights(component: component) }
        }
    }

    /// Whether an empty negative prompt stands for zeros, as it does unless the model says otherwise.
    private static func forcesZeros(_ source: ModelSource) throws(RenderError) -> Bool {
        let index = try RenderError.model(source) { try source.json("model_index.json") }
        guard let value = index["force_zeros_for_empty_prompt"], !value.isNull else { return true }
        guard let forces = value.boolValue else {
            throw RenderError(
                .badModel, "\(source.name)/model_index.json: \"force_zeros_for_empty_prompt\" must be true or false.")
        }
        return forces
    }

    /// Refuses networks that cannot be run or that do not fit each other.
    private func checkNetworks(_ source: ModelSource) throws(RenderError) {
        try checkChannels(source)
        let width = texts.reduce(0) { $0 + $1.hiddenSize }
        guard unet.textWidth == width else {
            throw RenderError(
                .badModel,
                "\(source.name): the U-Net takes text of width \(unet.textWidth), \(texts.count == 1 ? "the text encoder gives" : "the text encoders give") "
                    + "\(width); they belong to different models.")
        }
        guard let added = unet.added, let second = texts.last else { return }
        guard second.hasProjection != false, second.projectionSize == added.textWidth else {
            throw RenderError(
                .badModel,
                "\(source.name): the U-Net takes a pooled text of width \(added.textWidth), the second text encoder gives "
                    + "\(second.hasProjection == false ? "none" : String(second.projectionSize)); they belong to different models."
            )
        }
    }

    private func checkChannels(_ source: ModelSource) throws(RenderError) {
        let latent = vae.latentChannels
        guard unet.inChannels == latent || unet.inChannels == 2 * latent + 1, unet.outChannels == latent else {
            throw RenderError(
                .badModel,
                "\(source.name): the U-Net takes \(unet.inChannels) channels and gives \(unet.outChannels), the autoencoder has \(latent); "
                    + "supported are models that take \(latent), and for inpainting \(2 * latent + 1).")
        }
        guard TaskLimits.channels.contains(vae.latentChannels) else {
            throw RenderError(
                .badModel,
                "\(source.name): latents of \(vae.latentChannels) channels are not supported, only 1 to \(TaskLimits.channels.upperBound)."
            )
        }
        guard vae.outChannels == 3, vae.imageChannels == 3 else {
            throw RenderError(
                .badModel, "\(source.name): an autoencoder with \(vae.outChannels) colour channels is not supported.")
        }
    }
}
