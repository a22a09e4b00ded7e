import TensorCore

/// Self-attention of one head over all pixels, at the bottom of the autoencoder.
struct VAEAttention {
    let norm: GroupNorm
    private let attention: AttentionLayer

    /// `Weights` gives the layers today's names and shapes, whatever their names in the file.
    init(_ scope: LayerScope, channels: Int, groups: Int) throws(ModelError) {
        norm = try GroupNorm(scope, "group_norm", channels: channels, groups: groups, epsilon: vaeNormEpsilon)
        attention = try AttentionLayer(scope, width: channels, heads: 1, bias: true)
    }

    /// - Parameters:
    ///   - x: a tile, (1, h, w, channels)
    ///   - points: of the tile, by their places in it, row after row.
    ///   - moments: of the norm, over the whole image.
    ///   - keys: of the whole image.
    /// - Returns: (1, points, channels)
    func callAsFunction(
        _ x: Tensor, _ points: [Int], _ moments: GroupMoments, _ keys: VAEKeys, _ context: ComputeContext
    ) throws(ComputeError) -> Tensor {
        let own = context.gathered(x.reshaped([1, x.shape[1] * x.shape[2], x.shape[3]]), points)
        let tokens = norm(
            own.reshaped([1, 1, points.count, x.shape[3]]), ImageBox(height: 1, width: points.count), moments, silu: false,
            context)
        return try attention(tokens.reshaped(own.shape), keys, residual: own, context)
    }

    /// The keys and values of some tokens of a part of the image, (1, h, w, channels).
    func keys(
        of x: Tensor, tokens range: Range<Int>, _ moments: GroupMoments, _ context: ComputeContext
    ) throws(ComputeError) -> PackedKeys {
        try attention.packedKeys(of: tokens(x, moments, context).tokens(range), context)
    }

    private func tokens(_ x: Tensor, _ moments: GroupMoments, _ context: ComputeContext) -> Tensor {
        norm(x, ImageBox(height: x.shape[1], width: x.shape[2]), moments, silu: false, context)
            .reshaped([1, x.shape[1] * x.shape[2], x.shape[3]])
    }
}

/// The keys and values of a whole image, part by part.
struct VAEKeys {
    /// The results so far.
    let cells: AttentionCells
    let parts: Int
    let part: (Int) throws(ComputeError) -> PackedKeys
}

/// diffusers fixes the epsilon of all norms of `AutoencoderKL`.
let vaeNormEpsilon: Float = 1e-6

/// The bottom of encoder and decoder: attention between two residual blocks.
struct VAEMidBlock {
    private let before: ResidualBlock
    private let attention: VAEAttention?
    private let after: ResidualBlock

    init(_ scope: LayerScope, _ configuration: VAEConfiguration) throws(ModelError) {
        let (width, groups) = (configuration.channels[configuration.channels.count - 1], configuration.normGroups)
        before = try ResidualBlock(scope["resnets.0"], from: width, to: width, groups: groups, epsilon: vaeNormEpsilon)
        attention =
            configuration.hasMidAttention
            ? try VAEAttention(scope["attentions.0"], channels: width, groups: groups) : nil
        after = try ResidualBlock(scope["resnets.1"], from: width, to: width, groups: groups, epsilon: vaeNormEpsilon)
    }

    var steps: [VAEStep] {
        [.first(before), .second(before)] + (attention.map { [.attend($0)] } ?? []) + [.first(after), .second(after)]
    }
}

/// The residual blocks of one level, and the convolution after them that changes the size.
struct VAELevel {
    let residuals: [ResidualBlock]
    let resampler: ConvolutionParameters?

    var steps: [VAEStep] { residuals.flatMap { [.first($0), .second($0)] } }
}

/// The layers that the decoder and the encoder have in common. The decoder runs the middle before the levels, the encoder
/// after them.
struct VAELayers {
    let convolutionIn: ConvolutionParameters
    let mid: VAEMidBlock
    let levels: [VAELevel]
    let normOut: GroupNorm
    let convolutionOut: ConvolutionParameters

    /// - Parameters:
    ///   - channels: of the levels in the order in which they run.
    ///   - sides: usual height and width of the levels' images.
    ///   - blocks: the list of the levels in the checkpoint.
    ///   - layers: residual blocks of a level.
    ///   - resampler: the name of the convolution that changes the size, and its stride. The last level has none.
    init(
        _ scope: LayerScope, _ configuration: VAEConfiguration, from inputs: Int, through channels: [Int], to outputs: Int,
        sides: [Int], blocks: String, layers: Int, resampler: (name: String, stride: Int)
    ) throws(ModelError) {
        let (groups, last) = (configuration.normGroups, channels.count - 1)
        convolutionIn = try scope.sized(sides[0]).convolution("conv_in", from: inputs, to: channels[0])
        mid = try VAEMidBlock(scope["mid_block"], configuration)
        levels = try channels.indices.map { (level) throws(ModelError) in
            let (place, width) = (scope[blocks][level].sized(sides[level]), channels[level])
            let next = sides[min(last, level + 1)]
            return VAELevel(
                residuals: try (0..<layers).map { (index) throws(ModelError) in
                    try ResidualBlock(
                        place["resnets"][index], from: index == 0 ? channels[max(0, level - 1)] : width, to: width,
                        groups: groups, epsilon: vaeNormEpsilon)
                },
                resampler: level == last
                    ? nil
                    : try place.sized(max(sides[level], next)).convolution(
                        resampler.name, from: width, to: width, stride: resampler.stride))
        }
        normOut = try GroupNorm(scope, "conv_norm_out", channels: channels[last], groups: groups, epsilon: vaeNormEpsilon)
        convolutionOut = try scope.sized(sides[last]).convolution("conv_out", from: channels[last], to: outputs)
    }
}
