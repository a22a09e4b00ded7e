import ArgumentParser
import DiffusionModels
import TensorCore
import Weights

/// The published architectures that the bench can time.
enum UNetFamily: String, ExpressibleByArgument, CaseIterable {
    case sd15, sd21, sdxl

    /// The whole model that the U-Net belongs to, without its weights.
    var source: ModelSource {
        switch self {
        case .sd15: .withoutWeights(.stableDiffusion1)
        case .sd21: .withoutWeights(.stableDiffusion2)
        case .sdxl: .withoutWeights(.stableDiffusionXL)
        }
    }

    func unet(_ context: ComputeContext) throws -> UNet {
        try UNet(
            WeightScope(RandomWeightSource(seed: 1)),
            configuration: UNetConfiguration(json: source.json("unet/config.json")), context: context)
    }
}

extension UNetInput {
    /// A latent, a text of 77 tokens and what else the U-Net takes, all uniform in ±1.
    init(uniformFor configuration: UNetConfiguration, batch: Int, height: Int, width: Int) {
        self.init(
            sample: uniform([batch, height, width, configuration.inChannels]), timesteps: [500],
            text: uniform([batch, 77, configuration.textWidth]),
            textEmbeds: configuration.added.map { uniform([batch, $0.textWidth]) },
            timeIDs: configuration.added.map { _ in uniform([batch, UNetConfiguration.AddedConditioning.timeIDCount]) })
    }
}

/// A tensor of numbers that look random, in ±1.
func uniform(_ shape: [Int]) -> Tensor {
    let tensor = Tensor(uninitialized: shape)
    let values = tensor.elements(as: Float.self)
    for index in values.indices { values[index] = Float((index &* 2_654_435_761) >> 7 & 0xFFFF) / 32768 - 1 }
    return tensor
}
