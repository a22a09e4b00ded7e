import Acceleration
import TensorCore

/// A feature map that the way down leaves for the way up.
struct Skip {
    /// (n, h, w, channels)
    let map: Tensor
    /// Latent points along one side of a point of the map.
    let scale: Int
}

/// The material for the blocks of a U-Net: the configuration, HiDiffusion's places, and the places of the transformer blocks
/// so far. Blocks are built in the order in which they run.
struct UNetBuilder {
    let configuration: UNetConfiguration
    let layout: HiDiffusionLayout?
    private(set) var places: [BlockPlace] = []

    /// The number of blocks so far whose self-attention may run in windows.
    var windowBlocks: Int { places.count { $0.windowIndex != nil } }

    mutating func nextPlace(level: Int, windowed: Bool) -> BlockPlace {
        let place = BlockPlace(level: level, index: places.count, windowIndex: windowed ? windowBlocks : nil)
        places.append(place)
        return place
    }

    func residual(_ scope: LayerScope, from inputs: Int, to outputs: Int) throws(ModelError) -> ResidualBlock {
        try ResidualBlock(
            scope, from: inputs, to: outputs, timeWidth: configuration.timeWidth, groups: configuration.normGroups,
            epsilon: Float(configuration.normEpsilon))
    }

    /// The residual blocks of a level, and the transformers behind them if the level has attention.
    ///
    /// - Parameters:
    ///   - inputs: the channels that enter each residual block.
    ///   - transformerLayers: transformer blocks behind each residual block; nil without attention.
    mutating func layers(
        _ scope: LayerScope, level: Int, inputs: [Int], transformerLayers: Int?
    ) throws(ModelError) -> (residuals: [ResidualBlock], transformers: [SpatialTransformer]) {
        var layers: (residuals: [ResidualBlock], transformers: [SpatialTransformer]) = ([], [])
        let windowedBlocks = layout?.windowLevel == level ? layout?.windowedBlocks ?? 0 : 0
        for (index, width) in inputs.enumerated() {
            layers.residuals.append(try residual(scope["resnets"][index], from: width, to: configuration.channels[level]))
            guard let transformerLayers else { continue }
            layers.transformers.append(
                try SpatialTransformer(
                    scope["attentions"][index], level: level, layers: transformerLayers, windowedBlocks: windowedBlocks, &self))
        }
        return layers
    }
}

/// One level on the way down: residual blocks, each followed by a transformer if the level has attention, then a halving
/// convolution.
struct UNetDownBlock {
    private let place: String
    private let residuals: [ResidualBlock]
    let transformers: [SpatialTransformer]
    private let downsampler: ConvolutionParameters?

    init(_ scope: LayerScope, level: Int, _ builder: inout UNetBuilder) throws(ModelError) {
        let configuration = builder.configuration
        let width = configuration.channels[level]
        var inputs = Array(repeating: width, count: configuration.layersPerBlock[level])
        inputs[0] = configuration.channels[max(0, level - 1)]
        (residuals, transformers) = try builder.layers(
            scope, level: level, inputs: inputs,
            transformerLayers: configuration.downAttention[level] ? configuration.transformerLayers[level] : nil)
        place = "down_blocks.\(level)"
        let isLast = level == configuration.levels - 1
        downsampler = isLast ? nil : try scope.convolution("downsamplers.0.conv", from: width, to: width, stride: 2)
    }

    /// - Parameters:
    ///   - x: (n, h, w, channels of the level above)
    ///   - skips: receives the maps that the way up needs; its last is x.
    ///   - pool: average-pools 2×2 after the first layer (HiDiffusion).
    ///   - dilated: downsamples by a dilated convolution of stride 4 (HiDiffusion).
    /// - Returns: the result; and the size before pooling, if it was pooled.
    func callAsFunction(
        _ x: Tensor, skips: inout [Skip], pool: Bool, dilated: Bool, _ call: UNetCall
    ) throws(ComputeError) -> (Tensor, fullSize: (height: Int, width: Int)?) {
        var x = x
        var scale = skips.last?.scale ?? 1
        var fullSize: (height: Int, width: Int)?
        for (index, residual) in residuals.enumerated() {
            x = try residual(x, time: call.time, call.context)
            call.probe?.record("\(place).resnets.\(index)", x)
            if !transformers.isEmpty { x = try transformers[index](x, scale: scale, call) }
            if pool && index == 0 {
                fullSize = (x.shape[1], x.shape[2])
                x = call.context.averagePool2x2(x)
                scale *= 2
            }
            skips.append(Skip(map: x, scale: scale))
        }
        if let downsampler {
            x =
                dilated
                ? try call.context.convolution(x, downsampler, stride: 4, padding: Padding(2), dilation: 2)
                : try call.context.convolution(x, downsampler, stride: 2)
            call.probe?.record("\(place).downsamplers.0", x)
            skips.append(Skip(map: x, scale: scale * (dilated ? 4 : 2)))
        }
        return (x, fullSize)
    }
}

/// The bottom of the U-Net: a transformer between two residual blocks.
struct UNetMidBlock {
    private let before: ResidualBlock
    let transformer: SpatialTransformer
    private let after: ResidualBlock

    init(_ scope: LayerScope, _ builder: inout UNetBuilder) throws(ModelError) {
        let level = builder.configuration.levels - 1
        let width = builder.configuration.channels[level]
        before = try builder.residual(scope["resnets.0"], from: width, to: width)
        transformer = try SpatialTransformer(
            scope["attentions.0"], level: level, layers: builder.configuration.transformerLayers[level], windowedBlocks: 0,
            &builder)
        after = try builder.residual(scope["resnets.1"], from: width, to: width)
    }

    func callAsFunction(_ x: Tensor, scale: Int, _ call: UNetCall) throws(ComputeError) -> Tensor {
        var x = try before(x, time: call.time, call.context)
        call.probe?.record("mid_block.resnets.0", x)
        x = try after(transformer(x, scale: scale, call), time: call.time, call.context)
        call.probe?.record("mid_block.resnets.1", x)
        return x
    }
}

/// One level on the way up: residual blocks that also take the skips of the way down, each followed by a transformer if the
/// level has attention, then an enlarging convolution.
struct UNetUpBlock {
    private let place: String
    private let residuals: [ResidualBlock]
    let transformers: [SpatialTransformer]
    private let upsampler: ConvolutionParameters?

    init(_ scope: LayerScope, level: Int, _ builder: inout UNetBuilder) throws(ModelError) {
        let configuration = builder.configuration
        let levels = configuration.levels
        let width = configuration.channels[level]
        // Each block takes the map before it and a skip. The last skip comes from the level above, or from the first
        // convolution.
        var inputs = Array(repeating: 2 * width, count: configuration.layersPerBlock[level] + 1)
        inputs[0] += configuration.channels[min(levels - 1, level + 1)] - width
        inputs[inputs.count - 1] += configuration.channels[max(0, level - 1)] - width
        let hasAttention = configuration.upAttention[levels - 1 - level]
        (residuals, transformers) = try builder.layers(
            scope, level: level, inputs: inputs,
            transformerLayers: hasAttention ? configuration.upTransformerLayers[level] : nil)
        place = "up_blocks.\(levels - 1 - level)"
        upsampler = level == 0 ? nil : try scope.sized(2 * scope.side).convolution("upsamplers.0.conv", from: width, to: width)
    }

    /// - Parameters:
    ///   - skips: the block takes its skips from the end.
    ///   - fullSize: the size for a bicubic resize after the second layer (HiDiffusion); nil for none.
    /// - Returns: the level's result, at the size of the skip that the next level takes first.
    func callAsFunction(
        _ x: Tensor, skips: inout [Skip], fullSize: (height: Int, width: Int)?, _ call: UNetCall
    ) throws(ComputeError) -> Tensor {
        var x = x
        for (index, residual) in residuals.enumerated() {
            let skip = skips.removeLast()
            x = try residual(call.context.concatenateChannels(x, call.whole(skip.map)), time: call.time, call.context)
            call.probe?.record("\(place).resnets.\(index)", x)
            if !transformers.isEmpty { x = try transformers[index](x, scale: skip.scale, call) }
            if let fullSize, index == 1 {
                x = call.context.resizeBicubic(x, height: fullSize.height, width: fullSize.width)
            }
        }
        guard let upsampler, let next = skips.last?.map else { return x }
        // The target is the skip's own size, not twice this one. This makes every latent size work.
        x = call.context.resizeNearest(x, height: next.shape[1], width: next.shape[2])
        x = try call.context.convolution(x, upsampler)
        call.probe?.record("\(place).upsamplers.0", x)
        return x
    }
}
