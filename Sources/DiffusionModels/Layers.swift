import TensorCore
import Weights

/// The parameters of a normalisation: a scale and an offset per channel.
struct Norm {
    let scale: Tensor
    let offset: Tensor

    /// - Parameter weights: the place that holds `weight` and `bias`, each (channels).
    init(_ weights: WeightScope, channels: Int) throws {
        scale = try weights.tensor("weight", shape: [channels])
        offset = try weights.tensor("bias", shape: [channels])
    }
}

extension ComputeContext {
    /// The linear layer at `weights`: `weight` (out, in) and, unless `bias` is false, `bias` (out).
    func linear(_ weights: WeightScope, _ inFeatures: Int, _ outFeatures: Int, bias: Bool = true) throws -> LinearParameters {
        try packLinear(
            weight: weights.tensor("weight", shape: [outFeatures, inFeatures]),
            bias: bias ? weights.tensor("bias", shape: [outFeatures]) : nil)
    }

    /// The convolution at `weights`: `weight` (out, in, kernel, kernel) and `bias` (out).
    func convolution(
        _ weights: WeightScope, _ inChannels: Int, _ outChannels: Int, kernel: Int = 3
    ) throws -> ConvolutionParameters {
        try packConvolution(
            weight: weights.tensor("weight", shape: [outChannels, inChannels, kernel, kernel]),
            bias: weights.tensor("bias", shape: [outChannels]))
    }

    func layerNorm(_ x: Tensor, _ norm: Norm, epsilon: Float = 1e-5) -> Tensor {
        layerNorm(x, scale: norm.scale, offset: norm.offset, epsilon: epsilon)
    }

    func groupNorm(
        _ x: Tensor, _ norm: Norm, groups: Int, epsilon: Float, silu: Bool = false, addend: Tensor? = nil
    ) -> Tensor {
        groupNorm(
            x, groups: groups, scale: norm.scale, offset: norm.offset, epsilon: epsilon, silu: silu, addend: addend)
    }
}

/// A residual block: norm, SiLU, convolution, the time embedding, norm, SiLU, convolution, added to its input (diffusers'
/// `ResnetBlock2D`). The VAE has the same block without time.
struct ResnetBlock {
    private let norm1: Norm
    private let conv1: ConvolutionParameters
    private let time: LinearParameters?
    private let norm2: Norm
    private let conv2: ConvolutionParameters
    private let shortcut: ConvolutionParameters?
    private let groups: Int
    private let epsilon: Float

    struct Shape {
        var inChannels: Int
        var outChannels: Int
        /// Width of the time embedding; nil without one.
        var timeWidth: Int?
        var groups: Int
        var epsilon: Float
    }

    init(_ weights: WeightScope, _ shape: Shape, _ context: ComputeContext) throws {
        let (input, output) = (shape.inChannels, shape.outChannels)
        norm1 = try Norm(weights["norm1"], channels: input)
        conv1 = try context.convolution(weights["conv1"], input, output)
        time = try shape.timeWidth.map { try context.linear(weights["time_emb_proj"], $0, output) }
        norm2 = try Norm(weights["norm2"], channels: output)
        conv2 = try context.convolution(weights["conv2"], output, output)
        shortcut = input == output ? nil : try context.convolution(weights["conv_shortcut"], input, output, kernel: 1)
        (groups, epsilon) = (shape.groups, shape.epsilon)
    }

    /// - Parameters:
    ///   - x: (n, h, w, in)
    ///   - activatedTime: (n, timeWidth) or (1, timeWidth): SiLU of the time embedding.
    /// - Returns: (n, h, w, out)
    func forward(_ x: Tensor, activatedTime: Tensor?, _ context: ComputeContext) throws -> Tensor {
        var h = context.groupNorm(x, norm1, groups: groups, epsilon: epsilon, silu: true)
        h = try context.convolution(h, conv1)
        var addend: Tensor?
        if let time, let activatedTime { addend = try context.linear(activatedTime, time) }
        h = context.groupNorm(h, norm2, groups: groups, epsilon: epsilon, silu: true, addend: addend)
        let residual = try shortcut.map { try context.convolution(x, $0, padding: .none) } ?? x
        return try context.convolution(h, conv2, residual: residual)
    }
}
