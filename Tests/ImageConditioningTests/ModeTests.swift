import ImageConditioning
import Samplers
import StrictJSON
import Testing

@Suite struct ModeTests {
    private let noise: [Float] = [1, -2, 0.5, 0]
    private let image: [Float] = [0.25, 0.5, -1, 3]

    private func sampler(_ method: SamplingMethod, steps: Int = 4) throws -> Sampler {
        let configuration = try SchedulerConfiguration(json: [
            "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000, "steps_offset": 1, "clip_sample": false, "set_alpha_to_one": false,
        ])
        return try Sampler(configuration, method: method, steps: steps)
    }

    @Test func theUNetDecidesHowItInpaints() throws {
        #expect(try ImageMode(inpaintingWithInputChannels: 4, latentChannels: 4) == .inpaintKnown)
        #expect(try ImageMode(inpaintingWithInputChannels: 9, latentChannels: 4) == .inpaintNine)
        for channels in [0, 5, 8, 12] {
            #expect(throws: ConditioningError.self) {
                try ImageMode(inpaintingWithInputChannels: channels, latentChannels: 4)
            }
        }
    }

    @Test func drawsComeInTheOrderOfTheReference() {
        #expect(ImageMode.textToImage.draws(strength: 1) == [.noise])
        #expect(ImageMode.imageToImage.draws(strength: 1) == [.image, .noise])
        for strength in [0.3, 1] {
            #expect(ImageMode.inpaintKnown.draws(strength: strength) == [.image, .noise, .maskedImage])
        }
        #expect(ImageMode.inpaintNine.draws(strength: 0.99) == [.image, .noise, .maskedImage])
        #expect(ImageMode.inpaintNine.draws(strength: 1) == [.noise, .maskedImage])
    }

    @Test func runsBeginWhereStrengthSays() throws {
        let sampler = try sampler(.ddim, steps: 10)
        #expect(try ImageMode.textToImage.firstCall(sampler, strength: 0.5) == 0)
        for (strength, call) in [(1, 0), (0.99, 1), (0.75, 3), (0.3, 7), (0.1, 9)] {
            #expect(try ImageMode.imageToImage.firstCall(sampler, strength: strength) == call)
        }
        for strength in [0.0999, 0, -0.1, 1.01, .nan, .infinity] {
            #expect(throws: ConditioningError.self) { try ImageMode.inpaintNine.firstCall(sampler, strength: strength) }
        }
        let little = #expect(throws: ConditioningError.self) { try ImageMode.imageToImage.firstCall(sampler, strength: 0.05) }
        #expect(
            little?.message == "A strength of 0.05 leaves none of the 10 steps to do: raise the strength or the steps.")
    }

    /// All methods, except the methods for models that were trained otherwise.
    private static let methods = SamplingMethod.allCases.filter { ![.edmEuler, .edmDPMpp2m].contains($0) }

    @Test(arguments: methods) func onlyInpaintingAtFullStrengthForgetsThePicture(_ method: SamplingMethod)
        throws
    {
        let sampler = try sampler(method)
        let pure = noise.map { $0 * sampler.initialNoiseScale }
        for mode in ImageMode.allCases where mode != .textToImage {
            for (strength, call) in [(0.5, 2), (1, 0)] {
                let start = mode.startLatent(image: image, noise: noise, sampler: sampler, strength: strength, call: call)
                let isPure = strength == 1 && mode.isInpainting
                #expect(start == (isPure ? pure : sampler.addNoise(to: image, noise: noise, call: call)))
                #expect(isPure == mode.startsFromNoise(strength: strength))
            }
        }
        #expect(
            ImageMode.textToImage.startLatent(image: [], noise: noise, sampler: sampler, strength: 1, call: 0) == pure)
    }

    @Test func latentsAreDrawnFromTheirDistribution() {
        let distribution = LatentDistribution(mean: [1, 2, 3], logVariance: [0, 2 * 0.6931472, -30])
        let sample = distribution.sample(noise: [0.5, -1, 1])
        #expect(sample[0] == 1.5 && abs(sample[1]) < 1e-6 && abs(sample[2] - 3) < 1e-6 && sample[2] > 3)
    }

    @Test func theKnownRegionIsPutBackAsNoisyAsTheRest() throws {
        let sampler = try sampler(.euler)
        let region = KnownRegion(image: image, noise: noise, mask: [0, 1])
        let sample: [Float] = [9, 8, 7, 6]
        for call in 0..<4 {
            let noisy = call < 3 ? sampler.addNoise(to: image, noise: noise, call: call + 1) : image
            #expect(region.impose(on: sample, after: call, sampler: sampler) == [noisy[0], 8, noisy[2], 6])
        }
        var turned = region
        turned.mapArrays { $0.reversed() }
        #expect(turned.impose(on: sample, after: 3, sampler: sampler) == [9, image[2], 7, image[0]])
        #expect(region.impose(on: [.nan, 0, 0, 0], after: 0, sampler: sampler)[0].isNaN, "a NaN was hidden")
    }
}
