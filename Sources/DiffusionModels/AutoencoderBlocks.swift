import TensorCore
import Weights

/// Single-head self-attention over the pixels of the autoencoder's middle (diffusers' `Attention` with a group norm). Old checkpoints
/// name its parts query, key, value and proj_attn, and hold them as 1×1 convolutions.
struct AutoencoderAttention {
    private let norm: Norm
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters
    private let groups: Int

    init(_ weights: WeightScope, channels c: Int, groups: Int, _ context: ComputeContext) throws {
        norm = try Norm(weights["group_norm"], channels: c)
        let old = weights["query"].contains("weight")
        query = try AutoencoderAttention.projection(weights[old ? "query" : "to_q"], c, context)
        key = try AutoencoderAttention.projection(weights[old ? "key" : "to_k"], c, context)
        value = try AutoencoderAttention.projection(weights[old ? "value" : "to_v"], c, context)
        output = try AutoencoderAttention.projection(old ? weights["proj_attn"] : weights["to_out"][0], c, context)
        self.groups = groups
    }

    private static func projection(_ weights: WeightScope, _ c: Int, _ context: ComputeContext) throws -> LinearParameters {
        let isConvolution = weights.shape(of: "weight")?.count == 4
        let weight = try weights.tensor("weight", shape: isConvolution ? [c, c, 1, 1] : [c, c])
        return try context.packLinear(weight: weight.reshaped([c, c]), bias: weights.tensor("bias", shape: [c]))
    }

    func forward(_ x: Tensor, _ context: ComputeContext) throws -> Tensor {
        let tokens = x.reshaped([x.shape[0], x.shape[1] * x.shape[2], x.shape[3]])
        let y = context.groupNorm(tokens, norm, groups: groups, epsilon: 1e-6)
        let attended = context.attention(
            query: try context.linear(y, query), key: try context.linear(y, key), value: try context.linear(y, value), heads: 1)
        return try context.linear(attended, output, residual: tokens).reshaped(x.shape)
    }
}

/// The middle of encoder and decoder: residual block, attention, residual block.
struct AutoencoderMiddle {
    private let first: ResnetBlock
    private let attention: AutoencoderAttention?
    private let last: ResnetBlock

    init(_ weights: WeightScope, _ configuration: AutoencoderConfiguration, _ context: ComputeContext) throws {
        let c = configuration.blockOutChannels[configuration.blockOutChannels.count - 1]
        let shape = configuration.resnetShape(c, c)
        first = try ResnetBlock(weights["resnets"][0], shape, context)
        attention =
            configuration.middleAttends
            ? try AutoencoderAttention(weights["attentions"][0], channels: c, groups: configuration.normGroups, context) : nil
        last = try ResnetBlock(weights["resnets"][1], shape, context)
    }

    func forward(_ input: Tensor, _ context: ComputeContext) throws -> Tensor {
        var x = try first.forward(input, activatedTime: nil, context)
        if let attention { x = try attention.forward(x, context) }
        return try last.forward(x, activatedTime: nil, context)
    }
}

extension AutoencoderConfiguration {
    static let normEpsilon: Float = 1e-6

    func resnetShape(_ input: Int, _ output: Int) -> ResnetBlock.Shape {
        ResnetBlock.Shape(
            inChannels: input, outChannels: output, timeWidth: nil, groups: normGroups,
            epsilon: AutoencoderConfiguration.normEpsilon)
    }
}

/// One resolution of encoder or decoder: residual blocks, then a change of size.
struct AutoencoderLevel {
    let resnets: [ResnetBlock]
    /// The convolution beside the change of size; nil at the last level.
    let resampler: ConvolutionParameters?

    func residuals(_ input: Tensor, _ context: ComputeContext) throws -> Tensor {
        var x = input
        for resnet in resnets { x = try resnet.forward(x, activatedTime: nil, context) }
        return x
    }
}
