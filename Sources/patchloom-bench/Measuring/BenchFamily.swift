import ArgumentParser
import DiffusionModels
import Rendering
import TensorCore
import Weights

/// The architectures that the bench can time: the published ones with random weights, whose values do not matter for the time,
/// and the embedded model with its own.
enum BenchFamily: String, ExpressibleByArgument, CaseIterable {
    case sd15, sd21, sdxl, embedded

    /// The whole model. Models of published architectures have no weights.
    var source: ModelSource {
        switch self {
        case .sd15: .withoutWeights(.stableDiffusion1)
        case .sd21: .withoutWeights(.stableDiffusion2)
        case .sdxl: .withoutWeights(.stableDiffusionXL)
        case .embedded: .embeddedModel
        }
    }

    /// The model's text encoders by component, in order.
    var textEncoders: [String] {
        let family: ModelFamily =
            switch self {
            case .sd15, .embedded: .stableDiffusion1
            case .sd21: .stableDiffusion2
            case .sdxl: .stableDiffusionXL
            }
        return Array(family.textEncoders)
    }

    private func weights(_ component: String) throws -> WeightScope {
        self == .embedded ? try source.weights(component: component) : WeightScope(RandomWeightSource(seed: 1))
    }

    func unetConfiguration() throws -> UNetConfiguration { try UNetConfiguration(json: source.json("unet/config.json")) }
    func vaeConfiguration() throws -> VAEConfiguration { try VAEConfiguration(json: source.json("vae/config.json")) }

    /// - Parameter encoder: a component.
    func textConfiguration(_ encoder: String) throws -> CLIPTextConfiguration {
        try CLIPTextConfiguration(json: source.json("\(encoder)/config.json"))
    }

    func unet(_ context: ComputeContext) throws -> UNet {
        try UNet(weights("unet"), configuration: unetConfiguration(), context: context)
    }

    func decoder(_ context: ComputeContext) throws -> VAEDecoder {
        try VAEDecoder(weights("vae"), configuration: vaeConfiguration(), context: context)
    }

    func textEncoder(_ component: String, _ context: ComputeContext) throws -> CLIPTextModel {
        try CLIPTextModel(weights(component), configuration: textConfiguration(component), context: context)
    }
}

extension UNetInput {
    /// A latent, a text of 77 tokens and the other inputs of the U-Net, all uniform in ±1. The text keeps its keys and values,
    /// so every call but the first is like one in the middle of a picture.
    init(uniformFor unet: UNet, batch: Int, height: Int, width: Int) {
        let configuration = unet.configuration
        self.init(
            sample: uniform([batch, height, width, configuration.inChannels]), timesteps: [500],
            text: uniform([batch, UNetInput.textTokens, configuration.textWidth]),
            textEmbeds: configuration.added.map { uniform([batch, $0.textWidth]) },
            timeIDs: configuration.added.map { _ in uniform([batch, UNetConfiguration.AddedConditioning.timeIDCount]) })
        text.keepKeys(for: unet)
    }

    /// Tokens of a prompt of one chunk.
    static let textTokens = 77
}

/// A tensor of numbers that look random, in ±1.
func uniform(_ shape: [Int]) -> Tensor {
    let tensor = Tensor(uninitialized: shape)
    let values = tensor.elements(as: Float.self)
    for index in values.indices { values[index] = Float((index &* 2_654_435_761) >> 7 & 0xFFFF) / 32768 - 1 }
    return tensor
}
