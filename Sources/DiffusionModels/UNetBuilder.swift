import TensorCore
import Weights

/// Builds the blocks of a U-Net from its checkpoint, level by level.
struct UNetBuilder {
    let configuration: UNetConfiguration
    let context: ComputeContext
    let weights: WeightScope

    private var channels: [Int] { configuration.blockOutChannels }
    private var levels: Int { channels.count }
    /// Width of the time embedding.
    var timeWidth: Int { channels[0] * 4 }

    /// The highest level with transformers: HiDiffusion cuts its attention into windows and, in Stable Diffusion 1.x, 2.x and XL
    /// alike, hangs the resolution-aware downsampler on it.
    private var firstAttendingLevel: Int? { configuration.downBlocksAttend.firstIndex(of: true) }

    /// HiDiffusion knows two topologies: four levels that attend from the first one on, and three levels that attend from the second.
    var supportsHiDiffusion: Bool {
        let topology = configuration.downBlocksAttend
        let mirrored = Array(configuration.upBlocksAttend.reversed()) == topology
        let known = topology == [true, true, true, false] || topology == [false, true, true]
        return known && mirrored && configuration.layersPerBlock.allSatisfy { $0 == 2 }
    }

    private func roles(level: Int, down: Bool) -> LevelRoles {
        guard supportsHiDiffusion else { return LevelRoles() }
        let first = level == firstAttendingLevel
        return LevelRoles(windows: first, rad: first && down, pools: level == 1)
    }

    private func resnetShape(_ input: Int, _ output: Int) -> ResnetBlock.Shape {
        ResnetBlock.Shape(
            inChannels: input, outChannels: output, timeWidth: timeWidth, groups: configuration.normGroups,
            epsilon: configuration.normEpsilon)
    }

    private func transformerShape(level: Int, layers: Int) -> SpatialTransformer.Shape {
        SpatialTransformer.Shape(
            channels: channels[level], heads: configuration.attentionHeads[level], layers: layers,
            textWidth: configuration.crossAttentionWidth, groups: configuration.normGroups,
            linearProjection: configuration.usesLinearProjection)
    }

    func downBlock(_ level: Int, _ skipChannels: inout [Int]) throws -> DownBlock {
        let place = weights["down_blocks"][level]
        var input = skipChannels[skipChannels.count - 1]
        var resnets: [ResnetBlock] = []
        var transformers: [SpatialTransformer] = []
        for layer in 0..<configuration.layersPerBlock[level] {
            resnets.append(try ResnetBlock(place["resnets"][layer], resnetShape(input, channels[level]), context))
            if configuration.downBlocksAttend[level] {
                let shape = transformerShape(level: level, layers: configuration.transformerLayers[level])
                transformers.append(try SpatialTransformer(place["attentions"][layer], shape, context))
            }
            input = channels[level]
            skipChannels.append(input)
        }
        var downsampler: ConvolutionParameters?
        if level < levels - 1 {
            downsampler = try context.convolution(place["downsamplers"][0]["conv"], channels[level], channels[level])
            skipChannels.append(channels[level])
        }
        let unit = UNetLevel(resnets: resnets, transformers: transformers, roles: roles(level: level, down: true))
        return DownBlock(level: unit, downsampler: downsampler)
    }

    func middleBlock() throws -> MiddleBlock {
        let (place, last) = (weights["mid_block"], levels - 1)
        let shape = resnetShape(channels[last], channels[last])
        return MiddleBlock(
            first: try ResnetBlock(place["resnets"][0], shape, context),
            transformer: try SpatialTransformer(
                place["attentions"][0], transformerShape(level: last, layers: configuration.transformerLayers[last]), context),
            last: try ResnetBlock(place["resnets"][1], shape, context))
    }

    /// - Parameter index: 0 is the lowest resolution.
    func upBlock(_ index: Int, _ skipChannels: inout [Int]) throws -> UpBlock {
        let (place, level) = (weights["up_blocks"][index], levels - 1 - index)
        var input = channels[min(level + 1, levels - 1)]
        var resnets: [ResnetBlock] = []
        var transformers: [SpatialTransformer] = []
        for layer in 0..<(configuration.layersPerBlock[level] + 1) {
            let skip = skipChannels.removeLast()
            resnets.append(try ResnetBlock(place["resnets"][layer], resnetShape(input + skip, channels[level]), context))
            if configuration.upBlocksAttend[index] {
                let shape = transformerShape(level: level, layers: configuration.upTransformerLayers[index])
                transformers.append(try SpatialTransformer(place["attentions"][layer], shape, context))
            }
            input = channels[level]
        }
        let unit = UNetLevel(resnets: resnets, transformers: transformers, roles: roles(level: level, down: false))
        let upsampler =
            level > 0 ? try context.convolution(place["upsamplers"][0]["conv"], channels[level], channels[level]) : nil
        return UpBlock(level: unit, upsampler: upsampler)
    }
}
