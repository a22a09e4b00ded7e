import Acceleration
import DiffusionModels
import ImageConditioning
import PatchGeometry
import RandomStreams
import Samplers
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// A network of nine channels through the machine and the worker's side, against a loop over the networks themselves.
@Suite("Models for inpainting") struct InpaintModelTests {
    /// A picture of 80×64 px and a mask that is white from the twenty-fourth column on.
    private static func request(_ strength: Float) throws -> RenderRequest {
        let (width, height) = (80, 64)
        let rgb = (0..<(width * height * 3)).map { (i: Int) in UInt8(truncatingIfNeeded: i * 29 + i / 300) }
        let mask = (0..<(width * height)).map { (i: Int) in UInt8(i % width >= 24 ? 1 : 0) }
        var request = RenderRequest()
        (request.prompt, request.width, request.height, request.steps, request.seed) = ("a door", width, height, 4, 3)
        (request.strength, request.method, request.hiDiffusion) = (strength, .direct, .off)
        request.source = try SourcePicture(width: width, height: height, rgb: rgb, mask: mask)
        return request
    }

    private static func run(_ machine: RenderMachine, _ runner: TaskRunner) throws -> (
        barriers: [Barrier], image: RenderedImage
    ) {
        var machine = machine
        var barriers = [machine.start()]
        while true {
            let barrier = barriers[barriers.count - 1]
            try runner.open(barrier.context)
            switch try machine.complete(barrier.tasks.map { try runner.run($0) }) {
            case .barrier(let next): barriers.append(next)
            case .finished(let image): return (barriers, image)
            }
        }
    }

    @Test(arguments: [Float(0.5), 1]) func nineChannelsGoInAndFourComeOut(_ strength: Float) throws {
        let source = try GoldenModels.source("tiny-sd15-inpaint")
        let (request, model) = (try Self.request(strength), try ModelDescription(source: source))
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let (barriers, image) = try Self.run(RenderMachine(request: request, model: model), runner)
        #expect(image.width == 80 && image.height == 64)
        let text = try #require(barriers[2].context.conditioning)
        let expected = try Self.reference(request, model, source, text)
        guard case .decode(let latent) = try #require(barriers.last?.tasks.first).work else {
            Issue.record("the last task decodes")
            return
        }
        #expect(barriers[1].tasks.count == (strength == 1 ? 1 : 2))
        #expect(latent.values == expected)
    }

    /// The loop of diffusers' inpainting pipeline for nine channels.
    private static func reference(
        _ request: RenderRequest, _ model: ModelDescription, _ source: ModelSource, _ text: JobContext.Conditioning
    ) throws -> [Float] {
        let context = try ComputeContext(backend: .auto, threads: 1)
        let parts = try ModelParts(source)
        let unet = try UNet(source.weights(component: "unet"), configuration: parts.unet, context: context)
        let encoder = try VAEEncoder(source.weights(component: "vae"), configuration: parts.vae, context: context)
        let picture = try #require(request.source)
        let mask = try InpaintMask(#require(picture.mask).map { Float($0) }, height: 64, width: 80)
        let planes = PicturePixels.planes(rgb: picture.rgb)
        var generator = TorchCPUGenerator(seed: request.seed)
        func encoded(_ image: [Float], _ noise: [Float]) throws -> [Float] {
            let moments = try encoder.encode(Tensor(planar: image, n: 1, c: 3, h: 64, w: 80))
            let latent = LatentDistribution(mean: moments.mean.planarArray, logVariance: moments.logVariance.planarArray)
            return parts.vae.samplerLatent(latent.sample(noise: noise), height: 8, width: 10)
        }
        let count = 4 * 8 * 10
        let strength = Double(try #require(request.strength))
        let image = strength < 1 ? try encoded(planes, generator.normals(count: count)) : []
        let noise = generator.normals(count: count)
        let masked = try encoded(mask.maskedImage(planes), generator.normals(count: count))
        let sampler = try Sampler(model.scheduler, steps: 4)
        let first = strength < 1 ? sampler.firstCall(strength: strength) : 0
        var x =
            strength < 1 ? sampler.addNoise(to: image, noise: noise, call: first) : noise.map { $0 * sampler.initialNoiseScale }
        let channels = InpaintingChannels(mask: mask.latentMask(scale: 8), maskedImage: masked)
        let rows = Tensor(text.values, shape: [text.rows, text.tokens, text.width])
        var history = SamplerHistory()
        for call in first..<sampler.calls {
            let shown = channels.input(sampler.scaleInput(x, call: call))
            let output = try unet.forward(
                UNetInput(
                    sample: Tensor(planar: shown + shown, n: 2, c: 9, h: 8, w: 10), timesteps: [Float(sampler.timesteps[call])],
                    text: rows), plan: .plain)
            let (negative, positive) = (output.planarArray.prefix(count), output.planarArray.suffix(count))
            let guided = zip(negative, positive).map { $0 + model.recommended.guidanceScale * ($1 - $0) }
            x = sampler.step(modelOutput: guided, call: call, sample: x, noise: [], history: &history)
        }
        return x
    }

    /// Through CutDiffusion too, mask and masked picture dealt out and cropped with the canvas.
    @Test func cutShowsEachPatchItsPartOfTheMask() throws {
        let source = try GoldenModels.source("tiny-sd15-inpaint")
        let model = try ModelDescription(source: source)
        var request = try Self.request(1)
        (request.method, request.patch, request.structureFraction) = (.cut, 64, .half)
        let (width, height) = (128, 128)
        let rgb = [UInt8](repeating: 90, count: width * height * 3)
        let mask = (0..<(width * height)).map { (i: Int) in UInt8(i % width >= 64 ? 1 : 0) }
        (request.width, request.height) = (width, height)
        request.source = try SourcePicture(width: width, height: height, rgb: rgb, mask: mask)
        let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
        let (barriers, image) = try Self.run(RenderMachine(request: request, model: model), runner)
        #expect(image.width == 128 && Set(image.rgb).count > 3)
        for barrier in barriers where barrier.phase == .structure || barrier.phase == .detail {
            for task in barrier.tasks {
                let latent = try #require(task.latent)
                #expect(latent.channels == 9)
                let plane = latent.height * latent.width
                let shownMask = latent.values[(4 * plane)..<(5 * plane)]
                #expect(shownMask.allSatisfy { $0 == 0 || $0 == 1 })
                guard barrier.phase == .structure else { continue }
                // Every patch sees the whole canvas coarsely: its right half is made anew.
                #expect(shownMask.enumerated().allSatisfy { $0.element == ($0.offset % latent.width >= 4 ? 1 : 0) })
            }
        }
    }
}
