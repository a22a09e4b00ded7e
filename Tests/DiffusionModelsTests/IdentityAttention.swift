import DiffusionModels
import StrictJSON
import TensorCore
import Weights

/// A U-Net whose transformer blocks compute x + attention(norm x), with projections that change nothing: the layer of the
/// specification's vectors G12 and G13, in the network's own code.
final class IdentityAttention: WeightSource {
    let name = "identity attention"
    private let random = RandomWeightSource(seed: 3)

    static func unet(_ context: ComputeContext) throws -> UNet {
        try UNet(
            WeightScope(IdentityAttention()),
            configuration: UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sd15)),
            context: context)
    }

    func contains(_ path: String) -> Bool { random.contains(path) }

    func shape(of path: String) -> [Int]? { random.shape(of: path) }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard path.contains("transformer_blocks") else { return try random.tensor(path, shape: shape) }
        if path.contains(".attn1."), shape.count == 2 {
            let values = (0..<(shape[0] * shape[1])).map { Float($0 / shape[1] == $0 % shape[1] ? 1 : 0) }
            return Tensor(values, shape: shape)
        }
        if path.contains(".norm"), path.hasSuffix("weight") { return Tensor(repeating: 1, shape: shape) }
        // Offsets, attention to the text and the feed-forward part add nothing.
        return Tensor(repeating: 0, shape: shape)
    }

    func unusedPaths() -> [String] { [] }
}
