import DiffusionModels
import ImageConditioning
import Rendering
import TensorCore

/// The picture that a case's run begins with, in exact numbers.
struct SourceImage {
    /// The kinds of pictures that a case gives.
    enum Kind { case none, picture, maskedPicture }

    /// The picture as a request has it: in 8 bits, with the mask.
    let picture: SourcePicture
    /// Values from −1 to 1, planar.
    private let planes: [Float]
    private let mask: InpaintMask?
    private let encoder: VAEEncoder

    init(_ run: CaseRun, masked: Bool, width: Int, height: Int) throws {
        let given = try run.input("image", [1, 3, height, width]).floats
        guard given.allSatisfy({ (0...1).contains($0) }) else { throw GoldenError.failed("\"image\" goes beyond 0 and 1") }
        planes = PicturePixels.normalized(given)
        let plane = height * width
        let rgb = given.indices.map { UInt8((given[$0 % 3 * plane + $0 / 3] * 255).rounded()) }
        mask =
            masked ? try InpaintMask(run.input("mask", [1, 1, height, width]).floats, height: height, width: width) : nil
        picture = try SourcePicture(width: width, height: height, rgb: rgb, mask: mask?.bytes)
        encoder = try run.model().networks.encoder()
    }

    /// The moments of a picture.
    ///
    /// - Parameter planes: the exact picture, or that of the bytes, which a task has.
    private func moments(of planes: [Float], masked: Bool) throws -> Latent {
        let shown = masked ? mask?.maskedImage(planes) ?? planes : planes
        let moments = try encoder.encode(Tensor(planar: shown, n: 1, c: 3, h: picture.height, w: picture.width))
        return Latent(
            channels: 2 * moments.mean.shape[3], height: moments.mean.shape[1], width: moments.mean.shape[2],
            values: moments.mean.planarArray + moments.logVariance.planarArray)
    }

    /// Answers the tasks that encode the picture, and produces the latents of picture and mask before the first call.
    ///
    /// The recording is of the exact picture, but a worker gets its bytes. So the worker's answer is compared with the
    /// encoder's for the bytes, number by number, and the run goes on with the encoder's answer for the exact picture.
    func merge(into run: inout PictureRun, _ pipeline: PipelineRequest) throws {
        let bytes = PicturePixels.planes(rgb: picture.rgb)
        let answers = try zip(run.barrier.tasks, run.outputs()).map { task, output in
            guard let work = task.work as? PictureWork else { throw GoldenError.failed("no picture is wanted") }
            let isMasked = work.mask != nil
            guard output == .moments(try moments(of: bytes, masked: isMasked)) else {
                throw GoldenError.failed("a worker encodes the picture's bytes to other numbers than its encoder")
            }
            return TaskOutput.moments(try moments(of: planes, masked: isMasked))
        }
        try run.merge(answers)
        guard let mask else { return }
        let (shape, channels) = ([pipeline.height, pipeline.width], pipeline.model.latentChannels)
        let small = mask.latentMask(scale: pipeline.model.scaleFactor)
        let masked = try maskedLatent(run, small, pipeline)
        pipeline.run.produce("init_latents", GoldenTensor(run.machine.canvas, shape: [1, channels] + shape))
        pipeline.run.produce("mask_latent", GoldenTensor(small, shape: [1, 1] + shape))
        pipeline.run.produce("masked_image_latents", GoldenTensor(masked, shape: [1, channels] + shape))
    }

    /// The masked picture's latent. A network for inpainting takes it from the task. For another network the program does not
    /// compute it, so it is computed here.
    private func maskedLatent(_ run: PictureRun, _ mask: [Float], _ pipeline: PipelineRequest) throws -> [Float] {
        let model = pipeline.model
        if model.isInpainting {
            guard let work = run.barrier.tasks[0].work as? DenoiseWork else { throw GoldenError.failed("no call follows") }
            let shown = work.latent.values.dropFirst(run.machine.canvas.count)
            guard Array(shown.prefix(mask.count)) == mask else { throw GoldenError.failed("the network is shown another mask") }
            return Array(shown.dropFirst(mask.count))
        }
        let shape: [Int?] = [1, model.latentChannels, pipeline.height, pipeline.width]
        let noise = try pipeline.run.input("vae_noise_masked_image", shape).floats
        let values = try moments(of: planes, masked: true).values
        let distribution = LatentDistribution(
            mean: Array(values.prefix(values.count / 2)), logVariance: Array(values.suffix(values.count / 2)))
        return encoder.configuration.samplerLatent(
            distribution.sample(noise: noise), height: pipeline.height, width: pipeline.width)
    }
}
