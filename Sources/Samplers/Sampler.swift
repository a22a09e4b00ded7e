/// A sampler for a fixed number of steps: the formula of one of diffusers' schedulers and its tables.
///
/// The network runs in *calls*. Most methods make one call a step, second-order ones two, so there may be more calls than
/// steps. A sampler is a value without state: `SamplerHistory` holds the memory of a run. Arrays are planar samples of any
/// shape. For a picture that is cut into patches they hold the whole canvas.
public struct Sampler: Sendable {
    /// The formula.
    public let method: SamplingMethod
    /// The requested number of steps.
    public let steps: Int
    /// The remaining signal at each training step.
    public let noiseSchedule: NoiseSchedule
    /// The share of fresh noise in every step, `0...1`.
    public let eta: Double

    private let rule: any StepRule

    /// Makes a sampler from a model's own configuration, as diffusers' `from_config` does.
    ///
    /// - Parameters:
    ///   - chosen: nil takes the model's own scheduler.
    ///   - kind: how to spread sigmas or timesteps; `automatic` follows the configuration.
    ///   - eta: nil takes the method's default.
    /// - Throws: for more steps than the schedule has, an eta that is out of range or has no meaning, an option that is not
    ///   implemented, and a method or schedule that has no meaning for this model.
    public init(
        _ configuration: SchedulerConfiguration, method chosen: SamplingMethod? = nil,
        noiseSchedule kind: NoiseScheduleKind = .automatic,
        steps: Int, eta: Double? = nil
    ) throws(SamplerError) {
        let method = chosen ?? configuration.ownMethod
        guard steps >= 1, steps <= configuration.trainSteps else {
            throw SamplerError(
                .badRequest, "\(steps) steps cannot be done: the model's schedule allows 1 to \(configuration.trainSteps).")
        }
        let share = try method.checked(eta: eta)
        let adapted = try configuration.adapted(to: method, isChosen: chosen != nil, kind)
        noiseSchedule = try NoiseSchedule(adapted, method: method)
        rule = try method.rule(RunSetup(configuration: adapted, noiseSchedule: noiseSchedule, steps: steps, eta: share))
        (self.method, self.steps, self.eta) = (method, steps, share)
        try checkNumbers(isAsked: chosen != nil || kind != .automatic)
    }

    /// Makes a whole run with samples of one number. So the sampler refuses a schedule before the work begins if a formula
    /// divides by zero.
    ///
    /// - Parameter isAsked: whether the user chose method or schedule. If not, the model is at fault.
    private func checkNumbers(isAsked: Bool) throws(SamplerError) {
        var (sample, history) = ([initialNoiseScale], SamplerHistory())
        for call in timesteps.indices {
            let noise = [[Float]](repeating: [0.5], count: noiseMaps(call: call))
            let shown = scaleInput(sample, call: call)
            sample = step(modelOutput: [0.5], call: call, sample: sample, noise: noise, history: &history)
            guard timesteps[call].isFinite, shown[0].isFinite, sample[0].isFinite else {
                throw SamplerError(
                    isAsked ? .badRequest : .badConfiguration,
                    "The sampler \(method.rawValue) gets no finite numbers from the model's schedule of \(steps) steps: take fewer "
                        + "steps or another sampler.")
            }
        }
    }

    /// The timestep that the network receives at each call, diffusers' `timesteps`; not all are whole numbers.
    public var timesteps: [Double] { rule.timesteps }

    /// The factor that turns unit noise into the first sample.
    public var initialNoiseScale: Float { rule.tables.initialNoiseScale }

    /// The number of calls of the network.
    public var calls: Int { timesteps.count }

    /// diffusers' `sigmas`, falling noise levels; empty for methods without sigmas. Some methods have more or fewer sigmas
    /// than calls.
    public var sigmas: [Float] { rule.sigmas }

    /// Whether a step begins with `call`. Then no step is half done, and a phase may change here.
    public func isStepStart(call: Int) -> Bool { rule.isStepStart(call: call) }

    /// The number of maps of unit noise that `step` takes at `call`, drawn one after the other.
    public func noiseMaps(call: Int) -> Int { rule.noiseMaps(call: call) }

    /// The network's input for `sample` at `call`. Elementwise.
    public func scaleInput(_ sample: [Float], call: Int) -> [Float] { rule.tables.scaleInput(sample, call: call) }

    /// The sample after `call`, from the network's output. Elementwise, so it works on a whole canvas as well as on all
    /// patches one after the other.
    ///
    /// All arrays have one length, and `noise` has as many maps as `noiseMaps` says. Anything else is a mistake of the
    /// program.
    ///
    /// - Parameter history: empty at the first call of a run, later as the previous call left it.
    public func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]] = [], history: inout SamplerHistory
    ) -> [Float] {
        precondition(modelOutput.count == sample.count && noise.count == noiseMaps(call: call))
        precondition(noise.allSatisfy { $0.count == sample.count })
        let next = rule.step(modelOutput: modelOutput, call: call, sample: sample, noise: noise, history: &history)
        history.calls += 1
        return next
    }

    /// The most arrays that a step holds beside the sample, the network's output and the result: the memory of the run before
    /// and after the step, and the maps of noise. A run with samples of one number tells it.
    public var heldArrays: Int {
        func place(_ array: [Float]) -> UnsafePointer<Float>? { array.withUnsafeBufferPointer(\.baseAddress) }
        var (sample, history, most) = ([initialNoiseScale], SamplerHistory(), 0)
        for call in timesteps.indices {
            let (before, own, output) = (history, sample, [Float](repeating: 0.5, count: 1))
            let noise = (0..<noiseMaps(call: call)).map { _ in [Float](repeating: 0.5, count: 1) }
            sample = step(modelOutput: output, call: call, sample: own, noise: noise, history: &history)
            // Arrays that share their memory count once.
            let places = Set((before.arrays + history.arrays + noise).map(place)).subtracting([place(own), place(output)])
            most = max(most, places.count)
        }
        return most
    }

    /// `original` with noise added up to the level at which `call` starts. Runs of img2img and inpainting start like this.
    public func addNoise(to original: [Float], noise: [Float], call: Int) -> [Float] {
        precondition(original.count == noise.count)
        let (signal, spread) = (Float(rule.levels[call].signal), Float(rule.levels[call].noise))
        return zip(original, noise).map { signal * $0 + spread * $1 }
    }

    /// The first call of an img2img run that changes `strength` of the picture, `0...1`; diffusers' `get_timesteps`. It
    /// equals `calls` if nothing is left to do.
    public func firstCall(strength: Double) -> Int {
        let kept = steps - min(Int(Double(steps) * min(max(strength, 0), 1)), steps)
        return min(rule.firstCall(afterSteps: kept), calls)
    }
}
