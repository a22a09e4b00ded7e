public import Acceleration
public import TensorCore
public import Weights

/// What one U-Net call computes on.
public struct UNetInput {
    /// (n, h, w, inChannels), already scaled as the sampler asks.
    public var sample: Tensor
    /// One value for all images or one for each.
    public var timesteps: [Float]
    /// (n, tokens, crossAttentionWidth)
    public var text: Tensor
    /// SDXL: pooled text, (n, width).
    public var textEmbeds: Tensor?
    /// SDXL: original size, crop and target size in pixels, (n, 6).
    public var timeIDs: Tensor?

    public init(sample: Tensor, timesteps: [Float], text: Tensor, textEmbeds: Tensor? = nil, timeIDs: Tensor? = nil) {
        (self.sample, self.timesteps, self.text, self.textEmbeds, self.timeIDs) = (sample, timesteps, text, textEmbeds, timeIDs)
    }
}

/// The denoising U-Net of Stable Diffusion 1.x, 2.x and XL (diffusers' `UNet2DConditionModel`), with HiDiffusion's changes as part of
/// the call's plan. It keeps no state between calls.
public final class UNet {
    public let configuration: UNetConfiguration
    private let context: ComputeContext
    private let inputConvolution: ConvolutionParameters
    private let timeEmbedding: TimestepEmbedding
    private let additionalEmbedding: TimestepEmbedding?
    private let downBlocks: [DownBlock]
    private let middle: MiddleBlock
    private let upBlocks: [UpBlock]
    private let outputNorm: Norm
    private let outputConvolution: ConvolutionParameters
    private let supportsHiDiffusion: Bool

    /// How many shift ids a plan with window attention carries.
    public let windowBlockCount: Int

    /// Builds the network from its checkpoint. Throws `WeightsError` for missing, misshapen and left-over tensors.
    public init(_ weights: WeightScope, configuration: UNetConfiguration, context: ComputeContext) throws {
        let channels = configuration.blockOutChannels
        let builder = UNetBuilder(configuration: configuration, context: context, weights: weights)
        inputConvolution = try context.convolution(weights["conv_in"], configuration.inChannels, channels[0])
        timeEmbedding = try TimestepEmbedding(
            weights["time_embedding"], inWidth: channels[0], width: builder.timeWidth, context)
        additionalEmbedding = try configuration.textTime.map {
            try TimestepEmbedding(weights["add_embedding"], inWidth: $0.inputWidth, width: builder.timeWidth, context)
        }
        var skipChannels = [channels[0]]
        downBlocks = try channels.indices.map { try builder.downBlock($0, &skipChannels) }
        middle = try builder.middleBlock()
        upBlocks = try channels.indices.map { try builder.upBlock($0, &skipChannels) }
        outputNorm = try Norm(weights["conv_norm_out"], channels: channels[0])
        outputConvolution = try context.convolution(weights["conv_out"], channels[0], configuration.outChannels)
        try weights.requireAllConsumed()
        supportsHiDiffusion = builder.supportsHiDiffusion
        windowBlockCount =
            downBlocks.reduce(0) { $0 + $1.level.windowBlockCount } + upBlocks.reduce(0) { $0 + $1.level.windowBlockCount }
        self.configuration = configuration
        self.context = context
    }

    /// One forward pass.
    ///
    /// - Returns: (n, h, w, outChannels): what the network predicts (noise, velocity or sample, as the scheduler's configuration says).
    /// - Throws: `ModelError.badInput` for shapes that do not fit, `ComputeError` from the backend.
    public func forward(_ input: UNetInput, plan: UNetPlan = .plain) throws -> Tensor {
        try check(input, plan)
        var call = UNetCall(
            context: context, activatedTime: context.silu(try embedTime(input)), text: input.text, plan: plan,
            shifts: plan.windowShifts.map { ArraySlice($0) })
        var x = try context.convolution(input.sample, inputConvolution)
        var skips = [x]
        for block in downBlocks { x = try block.forward(x, skips: &skips, &call) }
        x = try middle.forward(x, call)
        for block in upBlocks { x = try block.forward(x, skips: &skips, &call) }
        x = context.groupNorm(
            x, outputNorm, groups: configuration.normGroups, epsilon: configuration.normEpsilon, silu: true)
        return try context.convolution(x, outputConvolution)
    }

    /// The transformer layer with diffusers' name `path`, such as `down_blocks.0.attentions.1.transformer_blocks.0`; nil when there is
    /// none. For comparing single layers with the reference.
    public func transformerBlock(at path: String) -> TransformerBlock? {
        let parts = path.split(separator: ".").map(String.init)
        guard parts.count >= 5, parts[parts.count - 2] == "transformer_blocks", parts[parts.count - 4] == "attentions",
            let layer = Int(parts[parts.count - 1]), let attention = Int(parts[parts.count - 3])
        else { return nil }
        var transformers: [SpatialTransformer] = []
        switch (parts[0], parts.count) {
        case ("mid_block", 5): transformers = [middle.transformer]
        case ("down_blocks", 6):
            guard let block = Int(parts[1]), downBlocks.indices.contains(block) else { return nil }
            transformers = downBlocks[block].level.transformers
        case ("up_blocks", 6):
            guard let block = Int(parts[1]), upBlocks.indices.contains(block) else { return nil }
            transformers = upBlocks[block].level.transformers
        default: return nil
        }
        guard transformers.indices.contains(attention), transformers[attention].blocks.indices.contains(layer) else {
            return nil
        }
        return transformers[attention].blocks[layer]
    }

    private func embedTime(_ input: UNetInput) throws -> Tensor {
        let embedding = SinusoidalEmbedding(
            width: configuration.blockOutChannels[0], flipsSineToCosine: configuration.flipsSineToCosine,
            frequencyShift: configuration.frequencyShift)
        let rows = Tensor(embedding.rows(input.timesteps), shape: [input.timesteps.count, embedding.width])
        let time = try timeEmbedding.forward(rows, context)
        guard let textTime = configuration.textTime, let additionalEmbedding, let textEmbeds = input.textEmbeds,
            let timeIDs = input.timeIDs
        else { return time }
        let sizes = SinusoidalEmbedding(
            width: textTime.timeEmbeddingWidth, flipsSineToCosine: configuration.flipsSineToCosine,
            frequencyShift: configuration.frequencyShift)
        let n = timeIDs.shape[0]
        let embedded = Tensor(sizes.rows(timeIDs.array), shape: [n, timeIDs.shape[1] * textTime.timeEmbeddingWidth])
        let additional = try additionalEmbedding.forward(context.concatenateChannels(textEmbeds, embedded), context)
        guard time.shape[0] != n else { return context.add(time, additional) }
        let repeated = Tensor((0..<n).flatMap { _ in time.array }, shape: additional.shape)
        return context.add(repeated, additional)
    }

    private func check(_ input: UNetInput, _ plan: UNetPlan) throws(ModelError) {
        let shape = input.sample.shape
        guard shape.count == 4, shape[3] == configuration.inChannels else {
            throw ModelError(
                .badInput, "The U-Net takes latents of \(configuration.inChannels) channels, not a tensor of shape \(shape).")
        }
        guard input.timesteps.count == 1 || input.timesteps.count == shape[0] else {
            throw ModelError(.badInput, "The U-Net takes one timestep or \(shape[0]), not \(input.timesteps.count).")
        }
        guard input.text.shape.count == 3, input.text.shape[0] == shape[0],
            input.text.shape[2] == configuration.crossAttentionWidth
        else {
            throw ModelError(
                .badInput,
                "The U-Net takes text of shape (\(shape[0]), tokens, \(configuration.crossAttentionWidth)), not \(input.text.shape)."
            )
        }
        try checkAdditional(input, images: shape[0])
        try checkPlan(plan)
    }

    private func checkAdditional(_ input: UNetInput, images: Int) throws(ModelError) {
        guard let textTime = configuration.textTime else {
            guard input.textEmbeds == nil, input.timeIDs == nil else {
                throw ModelError(.badInput, "This U-Net takes no pooled text and no sizes; they belong to SDXL.")
            }
            return
        }
        guard let embeds = input.textEmbeds, let sizes = input.timeIDs, embeds.shape.count == 2, sizes.shape.count == 2,
            embeds.shape[0] == images, sizes.shape[0] == images,
            embeds.shape[1] + sizes.shape[1] * textTime.timeEmbeddingWidth == textTime.inputWidth
        else {
            throw ModelError(
                .badInput,
                "This U-Net (SDXL) takes pooled text and sizes that together embed to \(textTime.inputWidth) values an image.")
        }
    }

    private func checkPlan(_ plan: UNetPlan) throws(ModelError) {
        guard plan != .plain else { return }
        guard supportsHiDiffusion else {
            throw ModelError(
                .unsupported, "HiDiffusion has no place in this U-Net: it is for Stable Diffusion 1.x, 2.x and XL.")
        }
        guard let shifts = plan.windowShifts else { return }
        guard shifts.count == windowBlockCount, shifts.allSatisfy({ $0 < 4 }) else {
            throw ModelError(
                .badInput,
                "Window attention takes \(windowBlockCount) shift ids from 0 to 3 here, not \(shifts.count) (\(shifts)).")
        }
    }
}
