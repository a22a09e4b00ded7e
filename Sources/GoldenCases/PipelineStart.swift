import DiffusionModels
import ImageConditioning
import Samplers
import TensorCore

/// What a run's calls of the U-Net begin with.
struct PipelineStart {
    /// (n, c, h, w)
    let shape: [Int]
    let latent: [Float]
    var firstCall = 0
    /// What an ordinary U-Net's inpainting puts back after every call.
    var known: KnownRegion?
    /// What a nine-channel U-Net is shown beside the latent.
    var inpainting: InpaintingChannels?

    /// A run without a picture, from unit noise.
    init(noise: GoldenTensor, _ sampler: Sampler) {
        (shape, latent) = (noise.shape, noise.floats.map { $0 * sampler.initialNoiseScale })
    }

    init(shape: [Int], latent: [Float], firstCall: Int) {
        (self.shape, self.latent, self.firstCall) = (shape, latent, firstCall)
    }

    /// The shape of the U-Net's input.
    var inputShape: [Int] {
        guard let inpainting else { return shape }
        let added = inpainting.input(latent).count / (shape[2] * shape[3])
        return [shape[0], added, shape[2], shape[3]]
    }
}

/// The picture that a case's run begins with, its latent and the run's first noise.
struct ImageStart {
    private let run: CaseRun
    private let sampler: Sampler
    private let mode: ImageMode
    private let strength: Double
    private let firstCall: Int
    /// Values from −1 to 1, (1, 3, h, w).
    private let picture: GoldenTensor
    /// (1, c, h, w) of the latent.
    private let shape: [Int]
    private let draws: [ImageMode.Draw: [Float]]
    /// The input tensors of the draws before the first call, in their order.
    let drawNames: [String]

    /// - Parameter name: the input tensor of a draw.
    init(_ run: CaseRun, _ sampler: Sampler, mode: ImageMode, name: (ImageMode.Draw) -> String) throws {
        (self.run, self.sampler, self.mode) = (run, sampler, mode)
        strength = try run.parameters.number("strength")
        firstCall = try mode.firstCall(sampler, strength: strength)
        let size = try PipelineCases.latentSize(run)
        let encoder = try run.model().encoder().configuration
        guard try run.model().unet().configuration.outChannels == encoder.latentChannels else {
            throw GoldenError.failed("U-Net and autoencoder do not have latents of one number of channels")
        }
        shape = [1, encoder.latentChannels, size.height, size.width]
        let given = try run.input("image", [1, encoder.imageChannels, size.height * encoder.scale, size.width * encoder.scale])
        picture = GoldenTensor(PicturePixels.normalized(given.floats), shape: given.shape)
        let order = mode.draws(strength: strength)
        drawNames = order.map(name)
        var draws: [ImageMode.Draw: [Float]] = [:]
        for draw in order { draws[draw] = try run.input(name(draw), shape.map { $0 }).floats }
        self.draws = draws
    }

    private func noise(_ draw: ImageMode.Draw) throws -> [Float] {
        guard let noise = draws[draw] else { throw GoldenError.failed("\(mode) draws nothing for \(draw)") }
        return noise
    }

    /// A picture's latent in the sampler's scale.
    private func latent(of picture: GoldenTensor, noise: [Float]) throws -> [Float] {
        let encoder = try run.model().encoder()
        let s = picture.shape
        let parts = try encoder.encode(Tensor(planar: picture.floats, n: 1, c: s[1], h: s[2], w: s[3]))
        let distribution = LatentDistribution(mean: parts.mean.planarArray, logVariance: parts.logVariance.planarArray)
        return encoder.configuration.samplerLatent(distribution.sample(noise: noise), height: shape[2], width: shape[3])
    }

    /// The picture's latent; zeros where the mode does not look at it.
    private func pictureLatent() throws -> [Float] {
        guard let noise = draws[.image] else { return Array(repeating: 0, count: shape.reduce(1, *)) }
        return try latent(of: picture, noise: noise)
    }

    /// The run's begin, without a mask.
    func begin() throws -> PipelineStart { try begin(from: pictureLatent()) }

    private func begin(from image: [Float]) throws -> PipelineStart {
        let latent = mode.startLatent(
            image: image, noise: try noise(.noise), sampler: sampler, strength: strength, call: firstCall)
        return PipelineStart(shape: shape, latent: latent, firstCall: firstCall)
    }

    /// The run's begin with the case's mask. Produces mask, start and the masked picture's latent.
    func inpaint() throws -> PipelineStart {
        let (height, width) = (picture.shape[2], picture.shape[3])
        let mask = try InpaintMask(run.input("mask", [1, 1, height, width]).floats, height: height, width: width)
        let small = mask.latentMask(scale: height / shape[2])
        let image = try pictureLatent()
        let masked = try latent(
            of: GoldenTensor(mask.maskedImage(picture.floats), shape: picture.shape), noise: noise(.maskedImage))
        var start = try begin(from: image)
        if mode == .inpaintKnown {
            start.known = KnownRegion(image: image, noise: try noise(.noise), mask: small)
        } else {
            start.inpainting = InpaintingChannels(mask: small, maskedImage: masked)
        }
        run.produce("mask_latent", GoldenTensor(small, shape: [1, 1, shape[2], shape[3]]))
        run.produce("init_latents", GoldenTensor(start.latent, shape: shape))
        run.produce("masked_image_latents", GoldenTensor(masked, shape: shape))
        return start
    }
}
