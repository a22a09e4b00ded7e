import TensorCore
import Weights

/// Self-attention of one head over all pixels, at the bottom of the autoencoder.
struct VAEAttention {
    private let norm: GroupNorm
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters

    /// `Weights` gives the layers today's names and shapes, whatever their names in the file.
    init(_ scope: LayerScope, channels: Int, groups: Int) throws(ModelError) {
        norm = try GroupNorm(scope, "group_norm", channels: channels, groups: groups, epsilon: vaeNormEpsilon)
        query = try scope.linear("to_q", from: channels, to: channels)
        key = try scope.linear("to_k", from: channels, to: channels)
        value = try scope.linear("to_v", from: channels, to: channels)
        output = try scope.linear("to_out.0", from: channels, to: channels)
    }

    /// - Parameter x: (n, h, w, channels)
    func callAsFunction(_ x: Tensor, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        let tokens = norm(x, silu: false, context).reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]])
        let attended = context.attention(
            query: try context.linear(tokens, query), key: try context.linear(tokens, key),
            value: try context.linear(tokens, value), heads: 1)
        return try context.linear(attended, output, residual: x).reshaped(x.shape)
    }
}

/// diffusers fixes the epsilon of all norms of `AutoencoderKL`.
let vaeNormEpsilon: Float = 1e-6

/// The bottom of encoder and decoder: attention between two residual blocks.
struct VAEMidBlock {
    private let before: ResidualBlock
    private let attention: VAEAttention?
    private let after: ResidualBlock

    init(_ scope: LayerScope, _ configuration: VAEConfiguration) throws(ModelError) {
        let width = configuration.channels[configuration.channels.count - 1]
        let shape = ResidualBlock.Shape(
            inputs: width, outputs: width, timeWidth: nil, groups: configuration.normGroups, epsilon: vaeNormEpsilon)
        before = try ResidualBlock(scope["resnets.0"], shape)
        attention =
            configuration.hasMidAttention
            ? try VAEAttention(scope["attentions.0"], channels: width, groups: configuration.normGroups) : nil
        after = try ResidualBlock(scope["resnets.1"], shape)
    }

    func callAsFunction(_ x: Tensor, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        var x = try before(x, context)
        if let attention { x = try attention(x, context) }
        return try after(x, context)
    }
}

/// The residual blocks of one level, and the convolution after them that changes the size.
struct VAELevel {
    let residuals: [ResidualBlock]
    let resampler: ConvolutionParameters?

    /// - Parameter resampler: the name of the convolution; nil for the level that keeps its size.
    init(
        _ scope: LayerScope, from inputs: Int, to outputs: Int, layers: Int, groups: Int, resampler: String?
    ) throws(ModelError) {
        var residuals: [ResidualBlock] = []
        for index in 0..<layers {
            let shape = ResidualBlock.Shape(
                inputs: index == 0 ? inputs : outputs, outputs: outputs, timeWidth: nil, groups: groups,
                epsilon: vaeNormEpsilon)
            residuals.append(try ResidualBlock(scope["resnets"][index], shape))
        }
        self.residuals = residuals
        if let resampler {
            self.resampler = try scope.convolution(resampler, from: outputs, to: outputs)
        } else {
            self.resampler = nil
        }
    }
}
