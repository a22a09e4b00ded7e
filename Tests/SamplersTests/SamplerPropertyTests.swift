import Samplers
import StrictJSON
import TestSupport
import Testing

/// Properties of every method.
@Suite struct SamplerPropertyTests {
    static let methods = SamplingMethod.allCases

    /// A model's configuration that fits the method.
    static func configuration(_ method: SamplingMethod, changing: [String: JSONValue] = [:]) throws -> SchedulerConfiguration {
        var object = JSONObject()
        object["_class_name"] = .string(method.rawValue.hasPrefix("edm") ? "EDMEulerScheduler" : "DDIMScheduler")
        object["beta_start"] = 0.00085
        object["beta_end"] = 0.012
        object["beta_schedule"] = "scaled_linear"
        object["steps_offset"] = 1
        object["clip_sample"] = false
        for (key, value) in changing { object[key] = value }
        return try SchedulerConfiguration(json: .object(object))
    }

    /// Runs from `first` to the end. The network is a formula.
    ///
    /// - Parameter between: changes sample and history before a call.
    static func run(
        _ sampler: Sampler, from first: Int = 0, size: Int = 6,
        between: (_ call: Int, _ sample: inout [Float], _ history: inout SamplerHistory) -> Void = { _, _, _ in }
    ) -> [Float] {
        var numbers = TestNumbers(seed: 11)
        var (sample, history) = (numbers.floats(size).map { $0 * sampler.initialNoiseScale }, SamplerHistory())
        for call in first..<sampler.calls {
            let noise = (0..<sampler.noiseMaps(call: call)).map { _ in [Float](repeating: numbers.floats(1)[0], count: size) }
            between(call, &sample, &history)
            let output = sampler.scaleInput(sample, call: call).map { 0.4 * $0 + 0.1 }
            sample = sampler.step(modelOutput: output, call: call, sample: sample, noise: noise, history: &history)
        }
        return sample
    }

    /// Counted by hand: memory before and after a step, and noise.
    @Test(arguments: [
        (SamplingMethod.euler, 0), (.ddim, 0), (.eulerAncestral, 1), (.dpmpp2m, 3), (.dpmpp3m, 4), (.dpmpp2mSDE, 4), (.lms, 5),
        // The start of the last step, its corrected end, and three views.
        (.unipc, 5),
        // The start of the step, and the first view.
        (.heun, 2),
    ])
    func heldArraysAreThoseOfOneStep(_ method: SamplingMethod, _ count: Int) throws {
        #expect(try Sampler(Self.configuration(method), method: method, steps: 12).heldArrays == count)
    }

    /// Moving the values between two calls and going on equals going on and moving them at the end, at any place.
    /// CutDiffusion's relocation relies on it.
    @Test(arguments: methods) func steppingAndMovingCommute(_ method: SamplingMethod) throws {
        let sampler = try Sampler(Self.configuration(method), method: method, steps: 6)
        let straight = Self.run(sampler)
        for place in 0..<sampler.calls {
            let moved = Self.run(sampler) { call, sample, history in
                if call == place {
                    sample.reverse()
                    history.mapArrays { $0.reversed() }
                }
            }
            #expect(moved == straight.reversed(), "before call \(place)")
        }
    }

    /// Two runs side by side as one, each with its own values: no step looks at its neighbours.
    @Test(arguments: methods) func stepsAreElementwise(_ method: SamplingMethod) throws {
        let sampler = try Sampler(Self.configuration(method), method: method, steps: 5)
        var histories = (SamplerHistory(), SamplerHistory(), SamplerHistory())
        var (left, right): ([Float], [Float]) = ([1, -2], [0.5, 3])
        for call in 0..<sampler.calls {
            let noise = [[Float]](repeating: [0.25, -0.5, 1, 2], count: sampler.noiseMaps(call: call))
            let output: [Float] = [0.1, 0.2, -0.3, 0.4]
            let both = sampler.step(modelOutput: output, call: call, sample: left + right, noise: noise, history: &histories.2)
            left = sampler.step(
                modelOutput: [0.1, 0.2], call: call, sample: left, noise: noise.map { Array($0.prefix(2)) },
                history: &histories.0)
            right = sampler.step(
                modelOutput: [-0.3, 0.4], call: call, sample: right, noise: noise.map { Array($0.suffix(2)) },
                history: &histories.1)
            #expect(both == left + right, "call \(call)")
        }
    }

    /// A run may begin at any strength with an empty history.
    @Test(arguments: methods) func runsBeginAnywhere(_ method: SamplingMethod) throws {
        for steps in [1, 2, 9] {
            let sampler = try Sampler(Self.configuration(method), method: method, steps: steps)
            #expect(sampler.firstCall(strength: 1) == 0 && sampler.firstCall(strength: 0) >= sampler.calls - 1)
            for tenth in 0...10 {
                let first = sampler.firstCall(strength: Double(tenth) / 10)
                let result = Self.run(sampler, from: first)
                #expect(result.allSatisfy { $0.isFinite } && result == Self.run(sampler, from: first), "\(steps) \(tenth)")
            }
        }
    }

    /// With more steps the result settles: the method goes where it should, and no coefficient is wrong.
    @Test(arguments: methods.filter { ![.lcm, .tcd, .ddpm, .dpmpp2mSDE].contains($0) })
    func moreStepsAreMoreExact(_ method: SamplingMethod) throws {
        let eta: Double? = [.ddim, .eulerAncestral, .dpm2Ancestral, .dpmpp2sAncestral, .dpmppSDE].contains(method) ? 0 : nil
        func end(_ steps: Int) throws -> Double {
            let sampler = try Sampler(
                Self.configuration(method, changing: ["timestep_spacing": "linspace"]), method: method, steps: steps, eta: eta)
            var (sample, history) = ([sampler.initialNoiseScale], SamplerHistory())
            for call in 0..<sampler.calls {
                // The only right network for data of standard deviation 1, in the model's own scale: it predicts the noise of
                // its input.
                let noise = Self.gaussianNoise(sampler, call: call, shown: sampler.scaleInput(sample, call: call)[0], method)
                let fresh = [[Float]](repeating: [0], count: sampler.noiseMaps(call: call))
                sample = sampler.step(
                    modelOutput: [noise], call: call, sample: sample, noise: fresh, history: &history)
            }
            return Double(sample[0])
        }
        // The flow that keeps unit variance keeps every value.
        let value = try end(100)
        #expect(abs(value - 1) < 0.04, "\(value)")
    }

    /// The output of a perfect network for `shown`, if data and noise both have unit variance.
    private static func gaussianNoise(_ sampler: Sampler, call: Int, shown: Float, _ method: SamplingMethod) -> Float {
        if method.rawValue.hasPrefix("edm") {
            // c_skip x + c_out F = x / (1 + sigma²) with EDM's sigma_data of one half.
            let sigma = exponential(4 * sampler.timesteps[call])
            let x = Double(shown) * (sigma * sigma + 0.25).squareRoot()
            let skip = 0.25 / (sigma * sigma + 0.25)
            return Float((x / (1 + sigma * sigma) - skip * x) / (sigma * 0.5 / (sigma * sigma + 0.25).squareRoot()))
        }
        let level = sampler.noiseSchedule.alphasCumprod
        let time = sampler.timesteps[call]
        let low = min(Int(time), level.count - 1)
        let (a, b) = (level[low], level[min(low + 1, level.count - 1)])
        let alpha = Double(a) + (Double(b) - Double(a)) * (time - Double(low))
        return Float((1 - alpha).squareRoot() * Double(shown))
    }

    private static func exponential(_ x: Double) -> Double {
        // Squaring keeps the series short.
        var (sum, term) = (1.0, 1.0)
        for n in 1..<30 {
            term *= x / 64 / Double(n)
            sum += term
        }
        return (0..<6).reduce(sum) { value, _ in value * value }
    }

    /// Few steps and many: each run gives numbers, or is refused in a sentence.
    @Test(arguments: methods, [1, 2, 3, 499, 999, 1000]) func everyStepCountEndsWell(_ method: SamplingMethod, _ steps: Int)
        throws
    {
        let configuration = try Self.configuration(method)
        for kind in [NoiseScheduleKind.automatic, .discrete, .karras, .sgmUniform] {
            do {
                let sampler = try Sampler(configuration, method: method, noiseSchedule: kind, steps: steps)
                #expect(sampler.steps == steps && sampler.calls >= steps)
                #expect(Self.run(sampler, size: 1)[0].isFinite)
            } catch {
                #expect(error.code == .badRequest && error.message.hasSuffix("."), "\(error)")
                #expect(steps > 100 || kind != .automatic, "\(error)")
            }
        }
    }

    @Test(arguments: methods) func pureNoiseIsAStartOrARefusal(_ method: SamplingMethod) throws {
        let configuration = try Self.configuration(
            method,
            changing: ["rescale_betas_zero_snr": true, "timestep_spacing": "trailing", "prediction_type": "v_prediction"])
        do {
            let sampler = try Sampler(configuration, method: method, steps: 7)
            #expect(Self.run(sampler).allSatisfy { $0.isFinite })
        } catch {
            #expect(error.message.contains("choose ddim, euler or dpm++2m"), "\(error)")
            #expect(![.ddim, .euler, .dpmpp2m].contains(method))
        }
    }

    /// A user's wrong choice has another remedy than a model's wrong configuration.
    @Test func theRemedyNamesTheOtherSamplers() throws {
        for (members, own, others) in [
            (["_class_name": "EulerDiscreteScheduler", "use_beta_sigmas": true], .euler, "ddim."),
            (["_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": true], .unipc, "euler."),
            (["_class_name": "PNDMScheduler", "rescale_betas_zero_snr": true], .pndm, "ddim, euler or dpm++2m."),
        ] as [([String: JSONValue], SamplingMethod, String)] {
            let configuration = try Self.configuration(own, changing: members)
            let ofModel = #expect(throws: SamplerError.self) { try Sampler(configuration, steps: 4) }
            #expect(ofModel?.message.hasSuffix("choose another sampling method: \(others)") == true, "\(ofModel as Any)")
            let ofUser = #expect(throws: SamplerError.self) { try Sampler(configuration, method: own, steps: 4) }
            #expect(ofUser?.message.hasSuffix(" choose \(others)") == true, "\(ofUser as Any)")
        }
    }

    /// Every content of the file gives a sampler with finite numbers, or an error in a sentence.
    @Test func hostileConfigurationsNeverTrap() throws {
        let classes = [
            "DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler", "DPMSolverMultistepScheduler", "LCMScheduler",
            "DPMSolverSinglestepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler", "HeunDiscreteScheduler",
            "KDPM2AncestralDiscreteScheduler", "LMSDiscreteScheduler", "DDPMScheduler", "TCDScheduler", "EDMEulerScheduler",
            "EDMDPMSolverMultistepScheduler", "DPMSolverSDEScheduler",
        ]
        let values: [JSONValue] = [
            0, 1, 2, 3, 7, -1, 50, 999, 1000, .number(1e-9), .number(0.5), .number(1e300), .number(-1e300), .null, true, false,
            "",
            "zero", "sigma_min", "karras", "exponential", "heun", "bh1", "midpoint", "dpmsolver", "sde-dpmsolver++", "linspace",
            "trailing", "leading", "v_prediction", "sample", "squaredcos_cap_v2", "fixed_large", [0], [-1], ["x"], [:],
        ]
        let keys = [
            "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type",
            "timestep_spacing", "steps_offset", "rescale_betas_zero_snr", "clip_sample", "clip_sample_range",
            "set_alpha_to_one", "use_karras_sigmas", "use_exponential_sigmas", "sigma_min", "sigma_max", "final_sigmas_type",
            "solver_order", "algorithm_type", "solver_type", "lower_order_final", "euler_at_final", "use_lu_lambdas",
            "predict_x0", "disable_corrector", "skip_prk_steps", "variance_type", "original_inference_steps",
            "timestep_scaling", "sigma_data", "rho", "sigma_schedule", "interpolation_type",
        ]
        var generator = SeededGenerator(seed: 77)
        var (accepted, refused) = (0, 0)
        for _ in 0..<6000 {
            var object = JSONObject()
            object["_class_name"] = .string(classes.randomElement(using: &generator) ?? "")
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                object[keys.randomElement(using: &generator) ?? ""] = values.randomElement(using: &generator)
            }
            do {
                let configuration = try SchedulerConfiguration(json: .object(object))
                let sampler = try Sampler(configuration, steps: Int.random(in: 1...12, using: &generator))
                let result = Self.run(sampler, size: 1)
                #expect(result[0].isFinite, "\(JSONValue.object(object).canonicalText)")
                accepted += 1
            } catch {
                #expect(error.message.hasSuffix("."), "\(error)")
                refused += 1
            }
        }
        #expect(accepted > 300 && refused > 300, "\(accepted) \(refused)")
    }
}
