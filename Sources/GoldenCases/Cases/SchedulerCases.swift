import Samplers
import StrictJSON

/// Samplers: tables, trajectories, noising.
enum SchedulerCases {
    /// The sampler that a configuration of diffusers asks for. A class or option that is not implemented is unsupported.
    ///
    /// - Parameter eta: nil for the class's own default.
    static func sampler(_ json: JSONValue, steps: Int, eta: Double? = nil) throws -> Sampler {
        do {
            return try Sampler(SchedulerConfiguration(json: json), steps: steps, eta: eta)
        } catch  where error.code == .unsupported {
            throw GoldenError.unsupported(error.message)
        }
    }

    /// The case's eta; most leave it out or null.
    static func eta(_ parameters: Parameters) throws -> Double? {
        parameters.has("eta") ? try parameters.number("eta") : nil
    }

    static func run(_ run: CaseRun) throws {
        let parameters = run.parameters
        let steps = try parameters.integer("num_inference_steps", in: 1...100_000)
        let sampler = try sampler(parameters.value("scheduler"), steps: steps, eta: eta(parameters))
        let first = try run.input("initial_noise", [nil, nil, nil, nil])
        let outputs = try run.input("model_outputs", [sampler.calls] + first.shape)
        let draws = (0..<sampler.calls).map(sampler.noiseMaps(call:))
        guard try parameters.integer("noise_draws", in: 0...1_000_000) == draws.reduce(0, +) else {
            throw GoldenError.failed("the sampler draws \(draws.reduce(0, +)) maps of noise")
        }
        let noises = draws.contains { $0 > 0 } ? try run.input("noises", [draws.reduce(0, +)] + first.shape).slices : []
        var (sample, history) = (first.floats.map { $0 * sampler.initialNoiseScale }, SamplerHistory())
        var (modelInputs, samples, drawn): ([Float], [Float], Int) = ([], [], 0)
        for call in 0..<sampler.calls {
            modelInputs += sampler.scaleInput(sample, call: call)
            let fresh = Array(noises[drawn..<(drawn + draws[call])])
            drawn += draws[call]
            sample = sampler.step(
                modelOutput: outputs.slice(call), call: call, sample: sample, noise: fresh, history: &history)
            samples += sample
        }
        run.produce("model_inputs", GoldenTensor(modelInputs, shape: [sampler.calls] + first.shape))
        run.produce("samples", GoldenTensor(samples, shape: [sampler.calls] + first.shape))
        // EDM's classes have none.
        if run.expects("alphas_cumprod") {
            let alphas = sampler.noiseSchedule.alphasCumprod
            run.produce("alphas_cumprod", GoldenTensor(alphas, shape: [alphas.count]))
        }
        produceTables(run, sampler, prefix: "")
    }

    private static func produceTables(_ run: CaseRun, _ sampler: Sampler, prefix: String) {
        run.produce(prefix + "timesteps", GoldenTensor(shape: [sampler.calls], values: .reals(sampler.timesteps)))
        run.produce(prefix + "init_noise_sigma", GoldenTensor([sampler.initialNoiseScale], shape: [1]))
        if !sampler.sigmas.isEmpty {
            run.produce(prefix + "sigmas", GoldenTensor(sampler.sigmas, shape: [sampler.sigmas.count]))
        }
    }

    static func tables(_ run: CaseRun) throws {
        for steps in try run.parameters.integers("num_inference_steps") {
            let sampler = try sampler(run.parameters.value("scheduler"), steps: steps)
            produceTables(run, sampler, prefix: "n\(steps).")
        }
    }

    static func addNoise(_ run: CaseRun) throws {
        let steps = try run.parameters.integer("num_inference_steps", in: 1...100_000)
        let sampler = try sampler(run.parameters.value("scheduler"), steps: steps)
        let original = try run.input("original", [nil, nil, nil, nil])
        let noise = try run.input("noise", original.shape)
        let indices = try run.parameters.integers("timestep_indices")
        guard indices.allSatisfy({ (0..<sampler.calls).contains($0) }) else {
            throw GoldenError.failed("\"timestep_indices\" go beyond the \(sampler.calls) calls")
        }
        let noisy = indices.flatMap { sampler.addNoise(to: original.floats, noise: noise.floats, call: $0) }
        run.produce("noisy", GoldenTensor(noisy, shape: [indices.count] + original.shape))
        run.produce(
            "timesteps", GoldenTensor(shape: [indices.count], values: .reals(indices.map { sampler.timesteps[$0] })))
    }
}
