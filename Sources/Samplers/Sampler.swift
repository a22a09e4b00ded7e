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
    /// - Parameters:
    ///   - chosen: nil takes the model's own scheduler.
    ///   - kind: how sigmas or timesteps are spread; `automatic` is what the configuration says.
    ///   - eta: nil takes the method's usual value.
    /// - Throws: for more steps than the schedule has, an eta that is out of range or means nothing, an option that is not
    ///   implemented, and a method or schedule that has no meaning for this model.
    public init(
        _ configuration: SchedulerConfiguration, method chosen: SamplingMethod? = nil,
        schedule kind: NoiseScheduleKind = .automatic,
        steps: Int, eta: Double? = nil
    ) throws(SamplerError) {
        let method = chosen ?? configuration.ownMethod
        guard steps >= 1, steps <= configuration.trainSteps else {
            throw SamplerError(
                .badRequest, "\(steps) steps cannot be done: the model's schedule allows 1 to \(configuration.trainSteps).")
        }
        let share = try method.checked(eta: eta)
        let adapted = try configuration.adapted(to: method, isChosen: chosen != nil, kind)
        schedule = try NoiseSchedule(adapted, method: method)
        rule = try method.rule(adapted, schedule: schedule, steps: steps, eta: share)
        (self.method, self.steps, self.eta) = (method, steps, share)
        (timesteps, initialNoiseScale) = (rule.timesteps, rule.initialNoiseScale)
        try checkNumbers(isAsked: chosen != nil || kind != .automatic)
    }

    /// Takes a whole run with samples of one number: a schedule whose formulas divide by nothing is refused before the work.
    ///
    /// - Parameter isAsked: whether the user chose method or schedule; else the fault is the model's.
    private func checkNumbers(isAsked: Bool) throws(SamplerError) {
        var (sample, history) = ([initialNoiseScale], SamplerHistory())
        for call in timesteps.indices {
            let noise = [[Float]](repeating: [0.5], count: noiseMaps(call: call))
            let shown = scaleInput(sample, call: call)
            sample = step(modelOutput: [0.5], call: call, sample: sample, noise: noise, history: &history)
            guard timesteps[call].isFinite, shown[0].isFinite, sample[0].isFinite else {
                throw SamplerError(
                    isAsked ? .badRequest : .badConfiguration,
                    "The model's schedule of \(steps) steps leaves the range of numbers with the sampler \(method.rawValue): take fewer "
                        + "steps or another sampler.")
            }
        }
    }

    /// How often the network is evaluated.
    public var calls: Int { timesteps.count }

    /// diffusers' `sigmas`, falling noise levels; empty for methods that have none. Not one for each call with every method.
    public var sigmas: [Float] { rule.sigmas }

    /// Whether a step begins with `call`, so that nothing waits for the other half of a step: a phase may change here.
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
        return min(rule.firstCall(afterSteps: kept), calls)
    }
}
