import TensorCore

/// What the blocks of one U-Net call share. Made for the call and gone with it: blocks keep no state.
struct UNetCall {
    let context: ComputeContext
    /// SiLU of the time embedding, (n, width).
    let time: Tensor
    /// (n, tokens, width)
    let text: Tensor
    /// One id of 0…3 for each window block; nil without windows.
    let windowShifts: [UInt8]?
    let probe: UNetProbe?
}

/// Multi-head attention with diffusers' names; keys and values come from `contextWidth` channels.
struct AttentionLayer {
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters
    private let heads: Int

    init(_ scope: LayerScope, width: Int, contextWidth: Int, heads: Int) throws(ModelError) {
        query = try scope.linear("to_q", from: width, to: width, bias: false)
        key = try scope.linear("to_k", from: contextWidth, to: width, bias: false)
        value = try scope.linear("to_v", from: contextWidth, to: width, bias: false)
        output = try scope.linear("to_out.0", from: width, to: width)
        self.heads = heads
    }

    /// - Parameters:
    ///   - x: (n, tokens, width)
    ///   - source: (n, sourceTokens, contextWidth), where keys and values come from.
    ///   - residual: added to the result.
    func callAsFunction(
        _ x: Tensor, source: Tensor, residual: Tensor?, _ context: ComputeContext
    ) throws(ComputeError) -> Tensor {
        let attended = context.attention(
            query: try context.linear(x, query), key: try context.linear(source, key),
            value: try context.linear(source, value), heads: heads)
        return try context.linear(attended, output, residual: residual)
    }
}

/// Self-attention, attention to the text and a gated feed-forward part, each behind a norm and inside a residual.
struct TransformerBlock {
    private let norm1: LayerNorm
    private let selfAttention: AttentionLayer
    private let norm2: LayerNorm
    private let textAttention: AttentionLayer
    private let norm3: LayerNorm
    private let expand: LinearParameters
    private let contract: LinearParameters
    /// Its place among the blocks whose self-attention may run in windows; nil for all others.
    let windowIndex: Int?

    init(_ scope: LayerScope, width: Int, textWidth: Int, heads: Int, windowIndex: Int?) throws(ModelError) {
        norm1 = try LayerNorm(scope, "norm1", channels: width)
        selfAttention = try AttentionLayer(scope["attn1"], width: width, contextWidth: width, heads: heads)
        norm2 = try LayerNorm(scope, "norm2", channels: width)
        textAttention = try AttentionLayer(scope["attn2"], width: width, contextWidth: textWidth, heads: heads)
        norm3 = try LayerNorm(scope, "norm3", channels: width)
        expand = try scope.linear("ff.net.0.proj", from: width, to: width * 8)
        contract = try scope.linear("ff.net.2", from: width * 4, to: width)
        self.windowIndex = windowIndex
    }

    /// - Parameters:
    ///   - x: (n, height·width, channels), tokens row by row.
    ///   - size: the feature map's height and width.
    func callAsFunction(_ x: Tensor, size: (height: Int, width: Int), _ call: UNetCall) throws(ComputeError) -> Tensor {
        let context = call.context
        var y = try attendToItself(x, size: size, call)
        y = try textAttention(norm2(y, context), source: call.text, residual: y, context)
        let gated = context.geglu(try context.linear(norm3(y, context), expand))
        return try context.linear(gated, contract, residual: y)
    }

    private func attendToItself(
        _ x: Tensor, size: (height: Int, width: Int), _ call: UNetCall
    ) throws(ComputeError) -> Tensor {
        let context = call.context
        let normed = norm1(x, context)
        guard let windowIndex, let shifts = call.windowShifts else {
            return try selfAttention(normed, source: normed, residual: x, context)
        }
        let windows = WindowGeometry(height: size.height, width: size.width, shift: Int(shifts[windowIndex]))
        let split = windows.split(normed, context)
        let attended = try selfAttention(split, source: split, residual: nil, context)
        return context.add(x, windows.merge(attended, context))
    }
}

/// Transformer blocks between two projections, inside a residual: how a feature map attends.
struct SpatialTransformer {
    private let norm: GroupNorm
    private let projectIn: LinearParameters
    let blocks: [TransformerBlock]
    private let projectOut: LinearParameters

    struct Shape {
        var channels: Int
        var heads: Int
        var layers: Int
        var textWidth: Int
        var groups: Int
        var linearProjection: Bool
        /// How many of the first blocks may run in windows.
        var windowedBlocks: Int
    }

    init(_ scope: LayerScope, _ shape: Shape, windows: inout WindowCounter) throws(ModelError) {
        let storage: PointwiseStorage = shape.linearProjection ? .matrix : .convolution
        norm = try GroupNorm(scope, "norm", channels: shape.channels, groups: shape.groups, epsilon: 1e-6)
        projectIn = try scope.linear("proj_in", from: shape.channels, to: shape.channels, storage: storage)
        var blocks: [TransformerBlock] = []
        for index in 0..<shape.layers {
            blocks.append(
                try TransformerBlock(
                    scope["transformer_blocks"][index], width: shape.channels, textWidth: shape.textWidth, heads: shape.heads,
                    windowIndex: index < shape.windowedBlocks ? windows.next() : nil))
        }
        self.blocks = blocks
        projectOut = try scope.linear("proj_out", from: shape.channels, to: shape.channels, storage: storage)
    }

    /// - Parameter x: (n, h, w, channels)
    func callAsFunction(_ x: Tensor, _ call: UNetCall) throws(ComputeError) -> Tensor {
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        var tokens = try call.context.linear(norm(x, silu: false, call.context).reshaped([n, h * w, c]), projectIn)
        for block in blocks { tokens = try block(tokens, size: (h, w), call) }
        return try call.context.linear(tokens, projectOut, residual: x).reshaped(x.shape)
    }
}
