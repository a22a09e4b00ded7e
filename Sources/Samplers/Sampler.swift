/// The samplers whose step is elementwise and needs no history, so that patches can be stepped and averaged.
public enum SamplingMethod: String, Sendable, CaseIterable {
    /// Song et al. 2020; with eta 1 as noisy as DDPM.
    case ddim
    /// The deterministic Euler method of Karras et al. 2022 (diffusers' EulerDiscreteScheduler without churn).
    case euler
}

/// A sampler for a fixed number of steps: the tables of diffusers' DDIMScheduler or EulerDiscreteScheduler and one step of
/// them.
///
/// A value without history: any step may be computed at any time, in any order. Arrays are planar latents of any shape.
public struct Sampler: Sendable, Equatable {
    private enum Tables: Sendable, Equatable {
        case ddim(DDIMTables)
        case euler(EulerTables)
    }

    /// Which formula steps.
    public let method: SamplingMethod
    /// The timestep the network is told at each step; whole numbers except for some of Euler's spacings.
    public let timesteps: [Double]
    /// What unit noise is multiplied by to start with.
    public let initialNoiseScale: Float
    /// The signal left at each training step.
    public let schedule: NoiseSchedule
    /// DDIM's share of fresh noise in every step, `0...1`.
    public let eta: Double

    private let tables: Tables

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
        self.method = method
        self.eta = eta
        schedule = try NoiseSchedule(configuration, method: method)
        switch method {
        case .ddim:
            let ddim = try DDIMTables(configuration, schedule: schedule, steps: steps, eta: eta)
            (timesteps, initialNoiseScale, tables) = (ddim.timesteps.map(Double.init), 1, .ddim(ddim))
        case .euler:
            let euler = try EulerTables(configuration, schedule: schedule, steps: steps)
            (timesteps, initialNoiseScale, tables) = (euler.timesteps.map(Double.init), euler.initialNoiseScale, .euler(euler))
        }
    }

    /// The number of steps.
    public var steps: Int { timesteps.count }

    /// Euler's noise levels, one more than steps and the last one zero unless the configuration says otherwise; empty for DDIM.
    public var sigmas: [Float] {
        if case .euler(let euler) = tables { euler.sigmas } else { [] }
    }

    /// Whether `step` takes a noise map.
    public func needsNoise(step: Int) -> Bool { eta > 0 }

    /// What the network is shown of `sample` at `step`: Euler divides by `sqrt(sigma² + 1)`, DDIM shows it as it is.
    public func scaleInput(_ sample: [Float], step: Int) -> [Float] {
        guard case .euler(let euler) = tables else { return sample }
        let divisor = euler.inputDivisor(step: step)
        return sample.map { $0 / divisor }
    }

    /// The sample after `step`, from the network's output for it. `noise` is unit noise, needed where `needsNoise` says so.
    ///
    /// All arrays have one length; a wrong length or missing noise is a mistake of the program.
    public func step(modelOutput: [Float], step: Int, sample: [Float], noise: [Float]? = nil) -> [Float] {
        precondition(modelOutput.count == sample.count)
        switch tables {
        case .euler(let euler): return euler.step(modelOutput: modelOutput, step: step, sample: sample)
        case .ddim(let ddim):
            guard needsNoise(step: step) else { return ddim.step(modelOutput: modelOutput, step: step, sample: sample) }
            guard let noise, noise.count == sample.count else { preconditionFailure("a stochastic step needs its noise map") }
            return ddim.step(modelOutput: modelOutput, step: step, sample: sample, noise: noise)
        }
    }

    /// `original` noised to the level at which `step` starts (img2img and inpainting start so).
    public func addNoise(to original: [Float], noise: [Float], step: Int) -> [Float] {
        precondition(original.count == noise.count)
        switch tables {
        case .ddim(let ddim):
            let level = schedule.alphasCumprod[ddim.timesteps[step]]
            let (signal, spread) = (level.squareRoot(), (1 - level).squareRoot())
            return zip(original, noise).map { signal * $0 + spread * $1 }
        case .euler(let euler):
            let sigma = euler.sigmas[step]
            return zip(original, noise).map { $0 + $1 * sigma }
        }
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
