/// The samplers whose step is elementwise and needs no history, so that patches can be stepped and averaged.
public enum SamplingMethod: String, Sendable, CaseIterable {
    /// Song et al. 2020; with eta 1 as noisy as DDPM.
    case ddim
    /// The deterministic Euler method of Karras et al. 2022 (diffusers' EulerDiscreteScheduler without churn).
    case euler
}

/// A sampler for a fixed number of steps: the tables of one of diffusers' schedulers and its formula.
///
/// The network is evaluated in *calls*. Most methods make one call a step, second-order ones two, so there may be more calls
/// than steps. A value without state: what a run remembers from call to call is in its `SamplerHistory`. Arrays are planar
/// samples of any shape; for a picture that is cut into patches, they hold the whole canvas.
public struct Sampler: Sendable {
    /// Which formula steps.
    public let method: SamplingMethod
    /// The steps that were asked for.
    public let steps: Int
    /// The timestep the network is told at each call, diffusers' `timesteps`; not all are whole numbers.
    public let timesteps: [Double]
    /// What unit noise is multiplied by to start with.
    public let initialNoiseScale: Float
    /// The signal left at each training step.
    public let schedule: NoiseSchedule
    /// The share of fresh noise in every step, `0...1`.
    public let eta: Double

    private let rule: any StepRule

    /// A sampler rebuilt from a model's own configuration, as diffusers' `from_config` does.
    ///
    /// Without a method the model's own scheduler is taken if it is DDIM or Euler; for any other class DDIM stands in.
    /// Errors: more steps than training steps, an eta that is out of range or not DDIM's, an option that is not implemented.
    public init(
        _ configuration: SchedulerConfiguration, method chosen: SamplingMethod? = nil, steps: Int, eta: Double = 0
    ) throws(SamplerError) {
        let method = chosen ?? configuration.ownMethod ?? .ddim
        guard steps >= 1, steps <= configuration.trainSteps else {
            throw SamplerError(
                .badRequest, "\(steps) steps cannot be done: the model's schedule allows 1 to \(configuration.trainSteps).")
        }
        guard eta >= 0, eta <= 1 else { throw SamplerError(.badRequest, "eta is \(eta) but must be from 0 to 1.") }
        guard eta == 0 || method == .ddim else {
            throw SamplerError(.badRequest, "eta is \(eta), but the Euler sampler adds no noise: leave eta 0 or choose ddim.")
        }
        schedule = try NoiseSchedule(configuration, method: method)
        switch method {
        case .ddim: rule = try DDIMTables(configuration, schedule: schedule, steps: steps, eta: eta)
        case .euler: rule = try EulerTables(configuration, schedule: schedule, steps: steps)
        }
        (self.method, self.steps, self.eta) = (method, steps, eta)
        (timesteps, initialNoiseScale) = (rule.timesteps, rule.initialNoiseScale)
    }

    /// How often the network is evaluated.
    public var calls: Int { timesteps.count }

    /// diffusers' `sigmas`, falling noise levels; empty for methods that have none. Not one for each call with every method.
    public var sigmas: [Float] { rule.sigmas }

    /// Whether a step begins with `call`: a run may begin here, and a phase may change here.
    public func isStepStart(call: Int) -> Bool { rule.isStepStart(call: call) }

    /// How many maps of unit noise `step` takes at `call`, drawn one after the other.
    public func noiseMaps(call: Int) -> Int { rule.noiseMaps(call: call) }

    /// What the network is shown of `sample` at `call`. Elementwise.
    public func scaleInput(_ sample: [Float], call: Int) -> [Float] { rule.scaleInput(sample, call: call) }

    /// The sample after `call`, from the network's output for it. Elementwise, so it may be done to a whole canvas or to all
    /// its patches one after the other.
    ///
    /// All arrays have one length, and `noise` has as many maps as `noiseMaps` says; anything else is a mistake of the program.
    ///
    /// - Parameter history: empty at the first call of a run, then as the previous call has left it.
    public func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]] = [], history: inout SamplerHistory
    ) -> [Float] {
        precondition(modelOutput.count == sample.count && noise.count == noiseMaps(call: call))
        precondition(noise.allSatisfy { $0.count == sample.count })
        let next = rule.step(modelOutput: modelOutput, call: call, sample: sample, noise: noise, history: &history)
        history.calls += 1
        return next
    }

    /// `original` noised to the level at which `call` starts (img2img and inpainting start so).
    public func addNoise(to original: [Float], noise: [Float], call: Int) -> [Float] {
        precondition(original.count == noise.count)
        let (signal, spread) = rule.mixture(call: call)
        return zip(original, noise).map { signal * $0 + spread * $1 }
    }

    /// The call at which a run of img2img begins that shall change `strength` of the picture, `0...1`; diffusers'
    /// `get_timesteps`. It equals `calls` where nothing is left to do.
    public func firstCall(strength: Double) -> Int {
        let kept = steps - min(Int(Double(steps) * min(max(strength, 0), 1)), steps)
        return min(kept * rule.callsPerStep, calls)
    }
}

extension SchedulerConfiguration {
    /// The method that is the configuration's own class; nil where another one has to stand in.
    public var ownMethod: SamplingMethod? {
        switch className {
        case "DDIMScheduler": .ddim
        case "EulerDiscreteScheduler": .euler
        default: nil
        }
    }
}
