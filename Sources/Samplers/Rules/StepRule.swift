/// The tables and the formula of one sampling method for a fixed number of steps. `Sampler` describes the functions.
///
/// Arrays are planar samples of any shape, all of one size. A rule holds no state: the history is the memory of a run.
protocol StepRule: Sendable {
    var tables: CallTables { get }

    /// The first call after the calls of `steps` steps.
    func firstCall(afterSteps steps: Int) -> Int
    func isStepStart(call: Int) -> Bool
    func noiseMaps(call: Int) -> Int
    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float]
}

extension StepRule {
    func firstCall(afterSteps steps: Int) -> Int { steps }
    func isStepStart(call: Int) -> Bool { true }
    func noiseMaps(call: Int) -> Int { 0 }

    var timesteps: [Double] { tables.timesteps }
    var sigmas: [Float] { tables.sigmas }
    var levels: [NoiseLevel] { tables.levels }
}

/// The run that a rule is made for.
struct RunSetup {
    var configuration: SchedulerConfiguration
    let noiseSchedule: NoiseSchedule
    let steps: Int
    /// The share of fresh noise in every step, `0...1`.
    let eta: Double
}

/// The numbers of every call of a run.
struct CallTables: Sendable {
    /// The way from the sample to the network's input.
    enum InputScaling {
        case none
        /// The sample, divided by its standard deviation: it holds the whole signal, with noise of sigma on it.
        case unitVariance
        /// The sample, times the number of the call.
        case factors([Float])
    }

    /// The timestep of every call of the network.
    var timesteps: [Double]
    /// diffusers' `sigmas`; empty for methods that have none.
    var sigmas: [Float] = []
    /// The factor that turns unit noise into the first sample.
    var initialNoiseScale: Float = 1
    /// Signal and noise at the start of every call. Some methods have one more, the level after the last step.
    var levels: [NoiseLevel]
    var inputScaling = InputScaling.none

    /// The number of calls up to `call` that have different sigmas, at most `limit`. With many steps some sigmas can be equal,
    /// and there is no slope between them.
    func distinctSigmas(before call: Int, limit: Int) -> Int {
        (1..<max(limit, 1)).first { sigmas[call - $0] <= sigmas[call - $0 + 1] } ?? limit
    }

    /// The network's input for `sample` at `call`.
    func scaleInput(_ sample: [Float], call: Int) -> [Float] {
        switch inputScaling {
        case .none: return sample
        case .unitVariance:
            let sigma = Float(levels[call].noise)
            let divisor = (sigma * sigma + 1).squareRoot()
            return sample.map { $0 / divisor }
        case .factors(let factors):
            let factor = factors[call]
            return sample.map { $0 * factor }
        }
    }
}
