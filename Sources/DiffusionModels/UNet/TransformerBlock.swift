import Acceleration
import TensorCore
import Weights

/// The data that all blocks of one U-Net call share. It lives as long as the call: blocks keep no state.
struct UNetCall {
    let context: ComputeContext
    /// The images of the result.
    let images: Int
    /// SiLU of the time embedding, (images, 1, width), or (1, 1, width) for all images.
    let time: Tensor
    /// (rows, tokens, width). Image i sees row i mod rows.
    let text: Tensor
    /// The text that keeps keys and values for this network; nil computes them in this call.
    let keeper: UNetText?
    /// One id of 0…3 for each window block; nil without windows.
    let windowShifts: [UInt8]?
    /// The blocks that reduce tokens.
    let tokens: TokenSwitches
    /// Destinations of merged tokens that the switches give.
    let chosen: ChosenDestinations
    let probe: UNetProbe?

    /// The map of every image. Until the first look at the text, the images of one sample are alike and are computed once.
    func whole(_ x: Tensor) -> Tensor {
        guard x.shape[0] < images else { return x }
        context.endSharing()
        return context.repeatImages(x, times: images / x.shape[0])
    }
}

/// Self-attention, attention to the text and a gated feed-forward part, each after a norm and inside a residual.
struct TransformerBlock {
    private let norm1: LayerNorm
    private let selfAttention: AttentionLayer
    private let norm2: LayerNorm
    private let textAttention: AttentionLayer
    private let norm3: LayerNorm
    private let expand: LinearParameters
    private let contract: LinearParameters
    let place: BlockPlace
    /// The name in checkpoints, `down_blocks.0.attentions.1.transformer_blocks.0`.
    let path: String

    init(_ scope: LayerScope, width: Int, textWidth: Int, heads: Int, place: BlockPlace) throws(ModelError) {
        norm1 = try LayerNorm(scope, "norm1", channels: width)
        selfAttention = try AttentionLayer(scope["attn1"], width: width, heads: heads, bias: false)
        norm2 = try LayerNorm(scope, "norm2", channels: width)
        textAttention = try AttentionLayer(scope["attn2"], width: width, sourceWidth: textWidth, heads: heads, bias: false)
        norm3 = try LayerNorm(scope, "norm3", channels: width)
        expand = try scope.linear("ff.net.0.proj", from: width, to: width * 8)
        contract = try scope.linear("ff.net.2", from: width * 4, to: width)
        (self.place, path) = (place, scope.weights.path)
    }

    /// The channels of the text's keys, and of its values.
    var textKeyChannels: Int { textAttention.keyChannels }

    /// - Parameters:
    ///   - x: (n, height·width, channels), tokens row by row.
    ///   - grid: the feature map's sides.
    func callAsFunction(_ x: Tensor, grid: TokenGrid, _ call: UNetCall) throws(ComputeError) -> Tensor {
        let context = call.context
        let reduction = call.tokens.reduction(level: place.level, tokens: grid.count)
        let shared = sharedGroups(x, reduction, grid: grid, call)
        var y = call.whole(try attendToItself(x, reduction, shared: shared, grid: grid, call))
        y = try call.merging(norm2(y, context), shared?[.textAttention], residual: y) { few, residual throws(ComputeError) in
            try textAttention(few, call.textKeys(textAttention, at: place), residual: residual, context)
        }
        return try call.merging(norm3(y, context), shared?[.feedForward], residual: y) { few, residual throws(ComputeError) in
            try context.linear(context.geglu(try context.linear(few, expand)), contract, residual: residual)
        }
    }

    /// One matching of the block's input serves all parts of the block, as in the reference. Merging of queries alone and
    /// self-attention in windows have matchings of their own; then this one serves only the other parts.
    private func sharedGroups(
        _ x: Tensor, _ reduction: TokenReduction?, grid: TokenGrid, _ call: UNetCall
    ) -> SharedGroups? {
        guard case .merging(let method) = reduction, !method.queriesOnly else { return nil }
        guard windowShift(call) == nil || method.parts != .attention else { return nil }
        return call.groups(method, at: place, grid: grid, metric: x, inWindows: false).map {
            SharedGroups(parts: method.parts, groups: $0)
        }
    }

    private func windowShift(_ call: UNetCall) -> Int? {
        guard let windowIndex = place.windowIndex, let shifts = call.windowShifts else { return nil }
        return Int(shifts[windowIndex])
    }

    /// Windows are outermost: tokens are reduced inside each window, and are whole again before the windows are put together.
    private func attendToItself(
        _ x: Tensor, _ reduction: TokenReduction?, shared: SharedGroups?, grid: TokenGrid, _ call: UNetCall
    ) throws(ComputeError) -> Tensor {
        let context = call.context
        let normed = norm1(x, context)
        guard let shift = windowShift(call) else {
            let reducer =
                shared?.reducer ?? call.reducer(reduction, at: place, grid: grid, metric: normed, inWindows: false)
            return try selfAttention.attendToItself(normed, residual: x, reducer, call)
        }
        let windows = WindowGeometry(height: grid.height, width: grid.width, shift: shift)
        let split = windows.split(normed, context)
        // The same windows of the input: tokens are compared by the block's input.
        let metric = reduction?.comparesInput == true ? windows.split(x, context) : split
        let reducer = call.reducer(reduction, at: place, grid: windows.grid(of: grid), metric: metric, inWindows: true)
        let attended = try selfAttention.attendToItself(split, residual: nil, reducer, call)
        return context.add(x, windows.merge(attended, context))
    }
}

/// Transformer blocks between two projections, inside a residual: the attention of a feature map.
struct SpatialTransformer {
    private let norm: GroupNorm
    private let projectIn: LinearParameters
    let blocks: [TransformerBlock]
    private let projectOut: LinearParameters

    /// - Parameters:
    ///   - level: counted from the top, from 0.
    ///   - layers: the number of transformer blocks.
    ///   - windowedBlocks: the number of first blocks that may run in windows.
    init(
        _ scope: LayerScope, level: Int, layers: Int, windowedBlocks: Int, _ builder: inout UNetBuilder
    ) throws(ModelError) {
        let configuration = builder.configuration
        let (width, isConvolution) = (configuration.channels[level], !configuration.usesLinearProjection)
        norm = try GroupNorm(scope, "norm", channels: width, groups: configuration.normGroups, epsilon: 1e-6)
        projectIn = try scope.linear("proj_in", from: width, to: width, isConvolution: isConvolution)
        // One by one: a hostile number of layers ends at the first missing tensor, before there is memory for all.
        var blocks: [TransformerBlock] = []
        for index in 0..<layers {
            blocks.append(
                try TransformerBlock(
                    scope["transformer_blocks"][index], width: width, textWidth: configuration.textWidth,
                    heads: configuration.heads[level],
                    place: builder.nextPlace(level: 1 << level, windowed: index < windowedBlocks)))
        }
        self.blocks = blocks
        projectOut = try scope.linear("proj_out", from: width, to: width, isConvolution: isConvolution)
    }

    /// - Parameters:
    ///   - x: (n, h, w, channels)
    ///   - scale: latent points along one side of a point of the map.
    func callAsFunction(_ x: Tensor, scale: Int, _ call: UNetCall) throws(ComputeError) -> Tensor {
        let (n, h, w, c) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        var tokens = try call.context.linear(norm(x, silu: false, call.context).reshaped([n, h * w, c]), projectIn)
        let grid = TokenGrid(height: h, width: w, scale: scale)
        for block in blocks { tokens = try block(tokens, grid: grid, call) }
        let y = try call.context.linear(tokens, projectOut, residual: call.whole(x))
        return y.reshaped([tokens.shape[0], h, w, c])
    }
}
