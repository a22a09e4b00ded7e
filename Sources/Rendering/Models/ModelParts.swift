import DiffusionModels
import Sentences
import StrictJSON
package import Weights

/// The configurations of a model's networks.
package struct ModelParts {
    let unet: UNetConfiguration
    let vae: VAEConfiguration
    /// The configurations of the family's text encoders, in order.
    let texts: [CLIPTextConfiguration]
    /// Whether zeros take the place of an empty negative prompt's embeddings.
    let zeroesEmptyPrompt: Bool
    let configuration: ModelConfiguration

    package var architecture: ModelArchitecture { configuration.architecture }

    /// Reads and checks the configurations and the heads of the weight files, but no weight.
    init(_ source: ModelSource) throws(RenderError) {
        // This refuses unsupported pipelines before it reads other files.
        try RenderError.model(source) { try source.checkComponents() }
        let configuration = try RenderError.model(source) { try ModelConfiguration(source) }
        self.configuration = configuration
        unet = try RenderError.model(source) { try UNetConfiguration(json: configuration.unet) }
        vae = try RenderError.model(source) { try VAEConfiguration(json: configuration.vae) }
        let family = configuration.architecture.family
        texts = try family.textEncoders.map { encoder throws(RenderError) in
            let file = "\(encoder)/config.json"
            return try RenderError.model(source) { try CLIPTextConfiguration(json: source.json(file), file: file) }
        }
        zeroesEmptyPrompt = family.zeroesEmptyPrompt ? try ModelParts.forcesZeros(source) : false
        try checkNetworks(source)
        // The heads show a file that was cut short now, not after hours of work.
        for component in family.textEncoders + ["unet", "vae"] {
            _ = try RenderError.model(source) { try source.weights(component: component) }
        }
    }

    /// Whether zeros take the place of an empty negative prompt's embeddings. They do unless the model says otherwise.
    private static func forcesZeros(_ source: ModelSource) throws(RenderError) -> Bool {
        let index = try RenderError.model(source) { try source.json("model_index.json") }
        guard let value = index["force_zeros_for_empty_prompt"], !value.isNull else { return true }
        guard let forces = value.boolValue else {
            throw .badModel("\(source.name)/model_index.json: \"force_zeros_for_empty_prompt\" must be true or false.")
        }
        return forces
    }

    /// Refuses networks that are not supported or do not fit each other.
    private func checkNetworks(_ source: ModelSource) throws(RenderError) {
        try checkChannels(source)
        let width = texts.reduce(0) { $0 + $1.hiddenSize }
        guard unet.textWidth == width else {
            throw .badModel(
                "\(source.name): the U-Net takes text of width \(unet.textWidth), the text "
                    + "\(texts.count == 1 ? "encoder gives" : "encoders give") \(width); they belong to different models.")
        }
        guard let added = unet.added, let second = texts.last else { return }
        guard second.hasProjection != false, second.projectionSize == added.textWidth else {
            throw .badModel(
                "\(source.name): the U-Net takes a pooled text of width \(added.textWidth), the second text encoder gives "
                    + "\(second.hasProjection == false ? "none" : String(second.projectionSize)); they belong to different "
                    + "models.")
        }
    }

    private func checkChannels(_ source: ModelSource) throws(RenderError) {
        let latent = vae.latentChannels
        guard unet.inChannels == latent || unet.inChannels == 2 * latent + 1, unet.outChannels == latent else {
            throw .badModel(
                "\(source.name): the U-Net takes \(unet.inChannels) channels and gives \(unet.outChannels), the autoencoder "
                    + "has \(latent); supported are models that take \(latent), and for inpainting \(2 * latent + 1).")
        }
        guard TaskLimits.channels.contains(vae.latentChannels) else {
            throw .badModel(
                "\(source.name): latents of \(vae.latentChannels) channels are not supported, only 1 to "
                    + "\(TaskLimits.channels.upperBound).")
        }
        guard vae.outChannels == 3, vae.imageChannels == 3 else {
            throw .badModel("\(source.name): an autoencoder with \(vae.outChannels) colour channels is not supported.")
        }
    }
}
