import Samplers
import StrictJSON
import Testing

@Suite struct SamplerTests {
    private static let sdxl: JSONValue = [
        "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear",
        "num_train_timesteps": 1000, "steps_offset": 1, "timestep_spacing": "leading", "clip_sample": false,
        "set_alpha_to_one": false,
    ]

    private static func changed(_ key: String, _ value: JSONValue?) -> JSONValue {
        guard case .object(var object) = sdxl else { return sdxl }
        object[key] = value
        return .object(object)
    }

    private func error(_ json: JSONValue, method: SamplingMethod? = nil, steps: Int = 20, eta: Double? = nil) -> SamplerError? {
        do {
            _ = try Sampler(SchedulerConfiguration(json: json), method: method, steps: steps, eta: eta)
            return nil
        } catch { return error }
    }

    private func stepped(
        _ sampler: Sampler, _ output: [Float], _ call: Int, _ sample: [Float], noise: [[Float]] = []
    ) -> [Float] {
        var history = SamplerHistory()
        return sampler.step(modelOutput: output, call: call, sample: sample, noise: noise, history: &history)
    }

    /// The tables that the specification gives for SDXL with 50 steps.
    @Test func sdxlTableOfFiftySteps() throws {
        let sampler = try Sampler(SchedulerConfiguration(json: Self.sdxl), steps: 50)
        #expect(sampler.method == .euler)
        #expect(sampler.timesteps == stride(from: 981.0, through: 1, by: -20).map { $0 })
        #expect(abs(sampler.initialNoiseScale - 13.15847) < 1e-4)
        let known: [(Int, Float)] = [
            (0, 13.12042), (24, 1.62369), (25, 1.51922), (26, 1.42217), (40, 0.52698), (48, 0.14146), (49, 0.04131), (50, 0),
        ]
        for (step, sigma) in known { #expect(abs(sampler.sigmas[step] - sigma) <= 1e-5 * max(1, sigma), "sigma \(step)") }
        #expect(abs(sampler.scaleInput([1], call: 0)[0] - 0.075997) < 1e-6)
    }

    /// The first and last alphas of Stable Diffusion's schedule as PyTorch 2.13 computes them, bit for bit.
    @Test func alphasAreEqualBitForBit() throws {
        let alphas = try Sampler(SchedulerConfiguration(json: Self.sdxl), steps: 50).noiseSchedule.alphasCumprod
        #expect(alphas.count == 1000)
        #expect(alphas.reduce(UInt32(0)) { $0 &* 31 &+ $1.bitPattern } == 1_726_158_735)
    }

    /// The chosen method keeps the model's betas, spacing and offset. Options missing in the configuration take the method's
    /// own defaults.
    @Test func rebuildingKeepsTheModelsOwnSchedule() throws {
        let configuration = try SchedulerConfiguration(json: Self.sdxl)
        let ddim = try Sampler(configuration, method: .ddim, steps: 50)
        let euler = try Sampler(configuration, method: .euler, steps: 50)
        #expect(ddim.timesteps == euler.timesteps && ddim.noiseSchedule == euler.noiseSchedule)
        #expect(ddim.initialNoiseScale == 1 && ddim.sigmas.isEmpty)
        let bare = try SchedulerConfiguration(json: Self.changed("timestep_spacing", nil))
        #expect(try Sampler(bare, method: .euler, steps: 4).timesteps == [999, 666, 333, 0])
        #expect(try Sampler(bare, method: .ddim, steps: 4).timesteps == [751, 501, 251, 1])
    }

    /// Without a choice the model's own class samples, for each of diffusers' classes.
    @Test func everyClassIsItsOwnMethod() throws {
        let classes: [(String, SamplingMethod)] = [
            ("PNDMScheduler", .pndm), ("DDPMScheduler", .ddpm), ("LMSDiscreteScheduler", .lms),
            ("EulerAncestralDiscreteScheduler", .eulerAncestral), ("HeunDiscreteScheduler", .heun),
            ("DPMSolverMultistepScheduler", .dpmpp2m), ("DPMSolverSinglestepScheduler", .dpmpp2s),
            ("KDPM2DiscreteScheduler", .dpm2), ("KDPM2AncestralDiscreteScheduler", .dpm2Ancestral),
            ("DEISMultistepScheduler", .deis), ("UniPCMultistepScheduler", .unipc), ("DPMSolverSDEScheduler", .dpmppSDE),
            ("LCMScheduler", .lcm), ("TCDScheduler", .tcd), ("EDMEulerScheduler", .edmEuler),
            ("EDMDPMSolverMultistepScheduler", .edmDPMpp2m),
        ]
        for (name, method) in classes {
            let configuration = try SchedulerConfiguration(json: Self.changed("_class_name", .string(name)))
            let sampler = try Sampler(configuration, steps: 10)
            #expect(configuration.ownMethod == method && sampler.method == method)
            #expect(sampler.steps == 10 && sampler.calls >= 10 && sampler.isStepStart(call: 0))
        }
    }

    /// The deterministic steps are linear, so the mean of stepped samples is the step of the mean. Averaging views relies on
    /// it.
    @Test(arguments: [SamplingMethod.ddim, .euler]) func stepsAreLinear(_ method: SamplingMethod) throws {
        let sampler = try Sampler(SchedulerConfiguration(json: Self.sdxl), method: method, steps: 7)
        let (x, a, b): ([Float], [Float], [Float]) = ([0.5, -2, 3], [1, 0.25, -1], [-3, 0.75, 2])
        let mean = zip(a, b).map { ($0 + $1) / 2 }
        let (left, right) = (stepped(sampler, a, 2, x), stepped(sampler, b, 2, x))
        let whole = stepped(sampler, mean, 2, x)
        for index in x.indices { #expect(abs((left[index] + right[index]) / 2 - whole[index]) < 1e-5) }
    }

    /// With eta 1 a part of the step's direction is replaced by noise. So the result is smaller if the noise is zero.
    @Test func etaAddsTheNoiseItIsGiven() throws {
        let sampler = try Sampler(SchedulerConfiguration(json: Self.sdxl), method: .ddim, steps: 10, eta: 1)
        #expect(sampler.noiseMaps(call: 0) == 1)
        let quiet = stepped(sampler, [0.3], 3, [1], noise: [[0]])[0]
        let loud = stepped(sampler, [0.3], 3, [1], noise: [[1]])[0]
        let twice = stepped(sampler, [0.3], 3, [1], noise: [[2]])[0]
        #expect(loud > quiet && abs((twice - quiet) - 2 * (loud - quiet)) < 1e-6)
    }

    @Test func whatCannotBeDoneIsNamed() {
        #expect(error(Self.changed("_class_name", "FlowMatchEulerDiscreteScheduler"))?.code == .unsupported)
        #expect(error(Self.changed("_class_name", nil))?.message.contains("_class_name") == true)
        #expect(error(Self.changed("thresholding", true), method: .ddim)?.message.contains("thresholding") == true)
        #expect(error(Self.changed("beta_schedule", "sigmoid"))?.message.contains("sigmoid") == true)
        #expect(error(Self.changed("prediction_type", "flow"))?.message.contains("prediction_type") == true)
        #expect(error(Self.changed("use_beta_sigmas", true))?.message.contains("use_beta_sigmas") == true)
        #expect(error(Self.changed("timestep_type", "continuous"))?.message.contains("timestep_type") == true)
        #expect(error(Self.changed("num_train_timesteps", 0))?.message.contains("num_train_timesteps") == true)
        #expect(error(Self.changed("beta_end", "big"))?.message.contains("beta_end") == true)
        #expect(error(Self.changed("trained_betas", [0.1, 0.2]))?.message.contains("trained_betas") == true)
        #expect(error(.array([]))?.code == .badConfiguration)
    }

    @Test func requestsThatDoNotFitAreNamed() {
        #expect(error(Self.sdxl, steps: 0)?.code == .badRequest)
        #expect(error(Self.sdxl, steps: 1001)?.code == .badRequest)
        #expect(error(Self.sdxl, method: .ddim, steps: 1000)?.message.contains("steps_offset") == true)
        #expect(error(Self.sdxl, eta: 0.5)?.message.contains("eta") == true)
        #expect(error(Self.sdxl, method: .ddim, eta: 1.5)?.message.contains("eta") == true)
        #expect(error(Self.sdxl, method: .ddim, eta: .nan)?.message.contains("eta") == true)
        #expect(error(Self.sdxl, method: .ddim, eta: 1) == nil)
    }

    /// A model that predicts epsilon cannot predict anything from pure noise: 0 / 0.
    @Test func epsilonCannotStartAtPureNoise() throws {
        var object = try #require(Self.sdxl.objectValue)
        object["rescale_betas_zero_snr"] = true
        object["timestep_spacing"] = "trailing"
        #expect(error(.object(object), method: .ddim)?.code == .unsupported)
        object["prediction_type"] = "v_prediction"
        #expect(error(.object(object), method: .ddim) == nil)
        #expect(error(.object(object), method: .euler) == nil)
    }

    /// For some step counts NumPy's `arange` gives one timestep too many (61 of 1000 is one). A run must not have it.
    @Test func trailingAlwaysHasAsManyTimestepsAsSteps() throws {
        let configuration = try SchedulerConfiguration(json: Self.changed("timestep_spacing", "trailing"))
        for steps in 1...200 {
            let timesteps = try Sampler(configuration, method: .ddim, steps: steps).timesteps
            #expect(timesteps.count == steps && timesteps[0] == 999 && timesteps.allSatisfy { (0...999).contains($0) })
            #expect(zip(timesteps, timesteps.dropFirst()).allSatisfy { $0 > $1 })
        }
    }
}
