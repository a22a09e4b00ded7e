public import Acceleration
public import TensorCore
public import Weights

/// The input of one U-Net call.
public struct UNetInput {
    /// (samples, h, w, inChannels), already scaled for the sampler. Any h and w of at least 1.
    public var sample: Tensor
    /// One timestep for all images, or one for each image.
    public var timesteps: [Float]
    /// (rows, tokens, textWidth)
    public var text: UNetText
    /// SDXL: the pooled text, (rows, width).
    public var textEmbeds: Tensor?
    /// SDXL: original height and width, crop top and left, target height and width in pixels, (images, 6).
    public var timeIDs: Tensor?
    /// Whether each sample meets every row of text, as with guidance. Then the images of the first sample come first, one for
    /// each row, then the images of the second sample, and so on. Otherwise each sample has a row of its own and is one image.
    public var meetsEveryText: Bool

    public init(
        sample: Tensor, timesteps: [Float], text: Tensor, textEmbeds: Tensor? = nil, timeIDs: Tensor? = nil,
        meetsEveryText: Bool = false
    ) {
        self.init(
            sample: sample, timesteps: timesteps, text: UNetText(text), textEmbeds: textEmbeds, timeIDs: timeIDs,
            meetsEveryText: meetsEveryText)
    }

    /// - Parameter text: may keep its keys and values for later calls.
    public init(
        sample: Tensor, timesteps: [Float], text: UNetText, textEmbeds: Tensor? = nil, timeIDs: Tensor? = nil,
        meetsEveryText: Bool = false
    ) {
        (self.sample, self.timesteps, self.text) = (sample, timesteps, text)
        (self.textEmbeds, self.timeIDs, self.meetsEveryText) = (textEmbeds, timeIDs, meetsEveryText)
    }

    /// The images that the network computes.
    var images: Int { meetsEveryText ? sample.shape[0] * text.vectors.shape[0] : sample.shape[0] }
}

/// The denoising network of Stable Diffusion 1.x, 2.x and XL (Rombach et al. 2022, arXiv 2112.10752; Podell et al. 2023,
/// arXiv 2307.01952). HiDiffusion is part of each call.
public final class UNet {
    public let configuration: UNetConfiguration
    /// The number of shifts that window attention needs; 0 if HiDiffusion does not know the arrangement of blocks.
    public let windowBlockCount: Int
    /// The nominal level of each transformer block in execution order: 1 has the latent's grid, 2 a grid with half its sides,
    /// and so on.
    public let blockLevels: [Int]
    let context: ComputeContext
    private let layout: HiDiffusionLayout?
    private let timeEmbedding: EmbeddingProjection
    private let addedEmbedding: EmbeddingProjection?
    private let convolutionIn: ConvolutionParameters
    let downBlocks: [UNetDownBlock]
    let midBlock: UNetMidBlock
    let upBlocks: [UNetUpBlock]
    private let normOut: GroupNorm
    private let convolutionOut: ConvolutionParameters

    /// - Throws: `.weights` if tensors are missing, misshapen or left over.
    public init(_ weights: WeightScope, configuration: UNetConfiguration, context: ComputeContext) throws(ModelError) {
        self.configuration = configuration
        self.context = context
        layout = configuration.hiDiffusionLayout
        let scope = LayerScope(weights, context)
        let (width, timeWidth) = (configuration.channels[0], configuration.timeWidth)
        timeEmbedding = try EmbeddingProjection(scope["time_embedding"], from: width, to: timeWidth)
        addedEmbedding = try configuration.added.map { (added) throws(ModelError) in
            try EmbeddingProjection(scope["add_embedding"], from: added.textWidth + added.timeIDsWidth, to: timeWidth)
        }
        convolutionIn = try scope.convolution("conv_in", from: configuration.inChannels, to: width)
        var builder = UNetBuilder(configuration: configuration, layout: layout)
        downBlocks = try (0..<configuration.levels).map { (level) throws(ModelError) in
            try UNetDownBlock(scope["down_blocks"][level].sized(scope.side >> level), level: level, &builder)
        }
        let last = configuration.levels - 1
        midBlock = try UNetMidBlock(scope["mid_block"].sized(scope.side >> last), &builder)
        upBlocks = try (0..<configuration.levels).map { (index) throws(ModelError) in
            let place = scope["up_blocks"][index].sized(scope.side >> (last - index))
            return try UNetUpBlock(place, level: last - index, &builder)
        }
        windowBlockCount = builder.windowBlocks
        blockLevels = builder.places.map(\.level)
        normOut = try GroupNorm(
            scope, "conv_norm_out", channels: width, groups: configuration.normGroups, epsilon: Float(configuration.normEpsilon)
        )
        convolutionOut = try scope.convolution("conv_out", from: width, to: configuration.outChannels)
        do { try weights.requireAllConsumed() } catch { throw ModelError(error) }
    }

    /// Predicts the noise or the velocity of a latent.
    ///
    /// It is a pure function of its arguments: it remembers nothing between calls. Keys and values that a text keeps do not
    /// change results.
    ///
    /// - Parameters:
    ///   - switches: HiDiffusion's switches and the reduction of tokens in this call, `.plain` for none.
    ///   - probe: receives the size of each feature map, for tests and plans.
    /// - Returns: (images, h, w, outChannels). The bits of an image do not depend on the other images of the call.
    /// - Throws: `.input` if shapes, switches or chosen destinations do not fit; `.nonFinite`.
    public func forward(_ input: UNetInput, switches: UNetSwitches, probe: UNetProbe? = nil) throws(ModelError) -> Tensor {
        try check(input)
        try check(switches)
        let choices = ChosenDestinations(switches.tokens.chosen)
        let output = try ModelError.computing("the U-Net") { () throws(ComputeError) in
            let call = UNetCall(
                context: context, images: input.images, time: try embedTime(input),
                text: context.convert(input.text.vectors, to: context.precision),
                keeper: input.text.keeps(for: self) ? input.text : nil, windowShifts: switches.windowShifts,
                tokens: switches.tokens, chosen: choices, probe: probe)
            return try context.sharing(by: input.images / input.sample.shape[0]) { () throws(ComputeError) in
                try run(input, switches: switches, call)
            }
        }
        if let problem = choices.problem { throw ModelError(.input, problem) }
        try context.requireFinite(output, "The U-Net's output at timestep \(input.timesteps[0])")
        return output
    }

    private func run(_ input: UNetInput, switches: UNetSwitches, _ call: UNetCall) throws(ComputeError) -> Tensor {
        var x = try context.convolution(context.convert(input.sample, to: context.precision), convolutionIn)
        // The groups of merged tokens belong to images, and SDXL's embedding of time differs between the rows of text.
        if !switches.tokens.reductions.isEmpty || call.time.shape[0] > 1 { x = call.whole(x) }
        var skips = [Skip(map: x, scale: 1)]
        var fullSize: (height: Int, width: Int)?
        for (level, block) in downBlocks.enumerated() {
            let pooled: (height: Int, width: Int)?
            (x, pooled) = try block(
                x, skips: &skips, pool: switches.pool && level == layout?.pooledLevel,
                dilated: switches.rad && level == layout?.dilatedLevel, call)
            fullSize = pooled ?? fullSize
        }
        x = try midBlock(x, scale: skips[skips.count - 1].scale, call)
        for (index, block) in upBlocks.enumerated() {
            let level = configuration.levels - 1 - index
            x = try block(x, skips: &skips, fullSize: level == layout?.pooledLevel ? fullSize : nil, call)
        }
        return try context.convolution(normOut(x, silu: true, context), convolutionOut, as: .f32)
    }

    /// SiLU of the time embedding, (images, 1, timeWidth), or (1, 1, timeWidth) where it is the same for all. Every block would
    /// apply it before its own projection.
    private func embedTime(_ input: UNetInput) throws(ComputeError) -> Tensor {
        let (images, times) = (input.images, input.timesteps.count)
        let sinusoids = configuration.sinusoids(input.timesteps, width: configuration.channels[0], context)
        var embedding = try context.sharing(by: images / times) { () throws(ComputeError) in
            try timeEmbedding(sinusoids.reshaped([times, 1, sinusoids.dimension(-1)]), context)
        }
        if let addedEmbedding, let added = configuration.added, let textEmbeds = input.textEmbeds, let timeIDs = input.timeIDs {
            let sizes = configuration.sinusoids(timeIDs.array, width: added.timeWidth, context)
                .reshaped([images, 1, added.timeIDsWidth])
            let rows = textEmbeds.reshaped([textEmbeds.shape[0], 1, added.textWidth])
            let pooled = context.repeatBatch(context.convert(rows, to: context.precision), times: images / textEmbeds.shape[0])
            embedding = try addedEmbedding(
                context.concatenateChannels(pooled, sizes), residual: context.repeatImages(embedding, times: images / times),
                context)
        }
        return context.silu(embedding)
    }
}

extension UNet {
    private func check(_ input: UNetInput) throws(ModelError) {
        let shape = input.sample.shape
        guard shape.count == 4, shape[3] == configuration.inChannels else {
            throw ModelError(
                .input, "The U-Net takes samples of \(configuration.inChannels) channels, channels last, not \(shape).")
        }
        let text = input.text.vectors.shape
        let rows = input.meetsEveryText ? text[0] : shape[0]
        guard text.count == 3, text[0] == rows, text[2] == configuration.textWidth else {
            throw ModelError(
                .input, "The U-Net takes text of shape (\(rows), tokens, \(configuration.textWidth)), not \(text).")
        }
        let images = input.images
        guard input.timesteps.count == images || input.timesteps.count == 1 else {
            throw ModelError(.input, "\(input.timesteps.count) timesteps do not fit \(images) samples.")
        }
        guard let added = configuration.added else {
            guard input.textEmbeds == nil, input.timeIDs == nil else {
                throw ModelError(.input, "This U-Net takes no pooled text and no time ids; they belong to SDXL.")
            }
            return
        }
        let ids = UNetConfiguration.AddedConditioning.timeIDCount
        guard input.textEmbeds?.shape == [rows, added.textWidth], input.timeIDs?.shape == [images, ids] else {
            throw ModelError(
                .input,
                "This U-Net needs pooled text of shape (\(rows), \(added.textWidth)) and time ids (\(images), \(ids)).")
        }
    }

    private func check(_ switches: UNetSwitches) throws(ModelError) {
        if let problem = switches.tokens.problem { throw ModelError(.input, problem) }
        guard switches.rad || switches.pool || switches.windowShifts != nil else { return }
        guard layout != nil else {
            throw ModelError(
                .input, "HiDiffusion does not know a U-Net with blocks in this order."
            )
        }
        guard let shifts = switches.windowShifts else { return }
        guard shifts.count == windowBlockCount else {
            throw ModelError(
                .input, "This U-Net has \(windowBlockCount) window blocks, but the call has \(shifts.count) shifts.")
        }
        guard shifts.allSatisfy({ $0 < 4 }) else { throw ModelError(.input, "Window shifts are 0, 1, 2 or 3, not \(shifts).") }
    }
}

/// Records the sizes of feature maps during a forward pass.
public final class UNetProbe {
    /// The name of a place and its (height, width), in the order of computation.
    public private(set) var sizes: [(name: String, height: Int, width: Int)] = []

    public init() {}

    func record(_ name: String, _ x: Tensor) { sizes.append((name, x.shape[1], x.shape[2])) }
}
