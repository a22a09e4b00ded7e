public import TensorCore
import Weights

/// Multi-head attention with its projections (diffusers' `Attention`): query, key and value without bias, output with.
struct Attention {
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters
    private let heads: Int

    init(_ weights: WeightScope, width: Int, contextWidth: Int, heads: Int, _ context: ComputeContext) throws {
        query = try context.linear(weights["to_q"], width, width, bias: false)
        key = try context.linear(weights["to_k"], contextWidth, width, bias: false)
        value = try context.linear(weights["to_v"], contextWidth, width, bias: false)
        output = try context.linear(weights["to_out"][0], width, width)
        self.heads = heads
    }

    /// - Parameters:
    ///   - x: (b, tokens, width)
    ///   - source: (b, others, contextWidth): where keys and values come from.
    ///   - residual: added to the result.
    func forward(_ x: Tensor, source: Tensor, residual: Tensor?, _ context: ComputeContext) throws -> Tensor {
        let attended = context.attention(
            query: try context.linear(x, query), key: try context.linear(source, key), value: try context.linear(source, value),
            heads: heads)
        return try context.linear(attended, output, residual: residual)
    }
}

/// One transformer layer: self-attention, cross-attention with the text, gated feed-forward, each after a layer norm and added to its
/// input (diffusers' `BasicTransformerBlock`).
public struct TransformerBlock {
    private let norm1: Norm
    private let selfAttention: Attention
    private let norm2: Norm
    private let crossAttention: Attention
    private let norm3: Norm
    private let expand: LinearParameters
    private let contract: LinearParameters

    init(_ weights: WeightScope, width: Int, textWidth: Int, heads: Int, _ context: ComputeContext) throws {
        norm1 = try Norm(weights["norm1"], channels: width)
        selfAttention = try Attention(weights["attn1"], width: width, contextWidth: width, heads: heads, context)
        norm2 = try Norm(weights["norm2"], channels: width)
        crossAttention = try Attention(weights["attn2"], width: width, contextWidth: textWidth, heads: heads, context)
        norm3 = try Norm(weights["norm3"], channels: width)
        expand = try context.linear(weights["ff"]["net"][0]["proj"], width, 8 * width)
        contract = try context.linear(weights["ff"]["net"][2], 4 * width, width)
    }

    /// - Parameters:
    ///   - tokens: (b, height·width, c)
    ///   - text: (b, n, d)
    ///   - windows: the partition for window attention; nil for global attention.
    /// - Returns: (b, height·width, c)
    public func forward(
        _ tokens: Tensor, text: Tensor, windows: WindowPartition?, _ context: ComputeContext
    ) throws -> Tensor {
        var x = try attendToSelf(tokens, windows: windows, context)
        x = try crossAttention.forward(context.layerNorm(x, norm2), source: text, residual: x, context)
        let gated = context.geglu(try context.linear(context.layerNorm(x, norm3), expand))
        return try context.linear(gated, contract, residual: x)
    }

    private func attendToSelf(_ tokens: Tensor, windows: WindowPartition?, _ context: ComputeContext) throws -> Tensor {
        let y = context.layerNorm(tokens, norm1)
        guard let windows else { return try selfAttention.forward(y, source: y, residual: tokens, context) }
        let cut = windows.split(y, context)
        let attended = try selfAttention.forward(cut, source: cut, residual: nil, context)
        return context.add(tokens, windows.merge(attended, context))
    }
}

/// Transformer layers over the pixels of a feature map, between a norm with a projection and another projection, added to the map
/// (diffusers' `Transformer2DModel`).
struct SpatialTransformer {
    private let norm: Norm
    private let projectIn: ConvolutionParameters
    private let projectOut: ConvolutionParameters
    let blocks: [TransformerBlock]
    private let groups: Int

    struct Shape {
        var channels: Int
        var heads: Int
        var layers: Int
        var textWidth: Int
        var groups: Int
        var linearProjection: Bool
    }

    init(_ weights: WeightScope, _ shape: Shape, _ context: ComputeContext) throws {
        let c = shape.channels
        norm = try Norm(weights["norm"], channels: c)
        projectIn = try SpatialTransformer.projection(weights["proj_in"], c, shape.linearProjection, context)
        projectOut = try SpatialTransformer.projection(weights["proj_out"], c, shape.linearProjection, context)
        blocks = try (0..<shape.layers).map {
            try TransformerBlock(
                weights["transformer_blocks"][$0], width: c, textWidth: shape.textWidth, heads: shape.heads, context)
        }
        groups = shape.groups
    }

    /// A linear layer and a 1×1 convolution are the same product; only the shape in the file differs.
    private static func projection(
        _ weights: WeightScope, _ c: Int, _ linear: Bool, _ context: ComputeContext
    ) throws -> ConvolutionParameters {
        guard linear else { return try context.convolution(weights, c, c, kernel: 1) }
        return try context.packConvolution(
            weight: weights.tensor("weight", shape: [c, c]).reshaped([c, c, 1, 1]), bias: weights.tensor("bias", shape: [c]))
    }

    /// - Parameters:
    ///   - x: (n, h, w, c)
    ///   - shifts: one shift id for each layer for window attention; nil for global attention.
    func forward(_ x: Tensor, text: Tensor, shifts: ArraySlice<UInt8>?, _ context: ComputeContext) throws -> Tensor {
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        let normed = context.groupNorm(x, norm, groups: groups, epsilon: 1e-6)
        var tokens = try context.convolution(normed, projectIn, padding: .none).reshaped([n, h * w, c])
        for (index, block) in blocks.enumerated() {
            let windows = shifts.map { WindowPartition(height: h, width: w, shift: $0[$0.startIndex + index]) }
            tokens = try block.forward(tokens, text: text, windows: windows, context)
        }
        return try context.convolution(tokens.reshaped(x.shape), projectOut, padding: .none, residual: x)
    }
}
