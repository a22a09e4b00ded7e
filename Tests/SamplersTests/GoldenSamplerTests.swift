import Samplers
import StrictJSON
import TestSupport
import Testing

@Suite struct GoldenSamplerTests {
    private func sampler(_ golden: GoldenFiles, steps: Int) throws -> Sampler {
        let configuration = try SchedulerConfiguration(json: try #require(golden.params["scheduler"]))
        return try Sampler(configuration, steps: steps, eta: golden.params["eta"]?.doubleValue)
    }

    @Test(arguments: GoldenFiles.cases("scheduler")) func trajectories(_ golden: GoldenFiles) throws {
        let steps = try #require(golden.params["num_inference_steps"]?.intValue)
        let sampler = try sampler(golden, steps: steps)
        #expect(sampler.calls == golden.params["calls"]?.intValue)
        #expect(golden.mismatch("timesteps", sampler.timesteps.map { Float($0) }) == nil)
        if golden.expected.contains("alphas_cumprod") {
            #expect(golden.mismatch("alphas_cumprod", sampler.schedule.alphasCumprod) == nil)
        }
        #expect(golden.mismatch("init_noise_sigma", [sampler.initialNoiseScale]) == nil)
        if golden.expected.contains("sigmas") { #expect(golden.mismatch("sigmas", sampler.sigmas) == nil) }
        var sample = golden.inputs.floats("initial_noise").map { $0 * sampler.initialNoiseScale }
        var (shown, samples): ([Float], [Float]) = ([], [])
        var (history, drawn) = (SamplerHistory(), 0)
        for (call, output) in golden.inputs.rows("model_outputs").enumerated() {
            shown += sampler.scaleInput(sample, call: call)
            let count = sampler.noiseMaps(call: call)
            let noise = count > 0 ? Array(golden.inputs.rows("noises")[drawn..<(drawn + count)]) : []
            drawn += count
            sample = sampler.step(modelOutput: output, call: call, sample: sample, noise: noise, history: &history)
            samples += sample
        }
        #expect(drawn == golden.params["noise_draws"]?.intValue)
        #expect(golden.mismatch("model_inputs", shown) == nil)
        #expect(golden.mismatch("samples", samples) == nil)
    }

    @Test(arguments: GoldenFiles.cases("scheduler_table")) func tables(_ golden: GoldenFiles) throws {
        let counts = try #require(golden.params["num_inference_steps"]?.arrayValue)
        for steps in try counts.map({ try #require($0.intValue) }) {
            let sampler = try sampler(golden, steps: steps)
            #expect(golden.mismatch("n\(steps).timesteps", sampler.timesteps.map { Float($0) }) == nil)
            #expect(golden.mismatch("n\(steps).init_noise_sigma", [sampler.initialNoiseScale]) == nil)
            if golden.expected.contains("n\(steps).sigmas") {
                #expect(golden.mismatch("n\(steps).sigmas", sampler.sigmas) == nil)
            }
        }
    }

    @Test(arguments: GoldenFiles.cases("scheduler_add_noise")) func addedNoise(_ golden: GoldenFiles) throws {
        let steps = try #require(golden.params["num_inference_steps"]?.intValue)
        let sampler = try sampler(golden, steps: steps)
        let indices = try #require(golden.params["timestep_indices"]?.arrayValue).map { try #require($0.intValue) }
        let (original, noise) = (golden.inputs.floats("original"), golden.inputs.floats("noise"))
        let noisy = indices.flatMap { sampler.addNoise(to: original, noise: noise, call: $0) }
        #expect(golden.mismatch("noisy", noisy) == nil)
    }
}
