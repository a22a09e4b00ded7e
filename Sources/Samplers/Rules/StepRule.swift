/// The tables and the formula of one sampling method for a fixed number of steps.
///
/// Arrays are planar samples of any shape, all of one size. A rule holds no state: the history is the memory of a run.
protocol StepRule: Sendable {
    /// The timestep of every call of the network.
    var timesteps: [Double] { get }
    /// diffusers' `sigmas`; empty for methods that have none.
    var sigmas: [Float] { get }
    /// The factor that turns unit noise into the first sample.
    var initialNoiseScale: Float { get }
    /// Calls of the network in one step, diffusers' `order`.
    var callsPerStep: Int { get }

    /// The first call after the calls of `steps` steps.
    func firstCall(afterSteps steps: Int) -> Int
    func isStepStart(call: Int) -> Bool
    func noiseMaps(call: Int) -> Int
    func scaleInput(_ sample: [Float], call: Int) -> [Float]
    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float]
    /// The shares of signal and noise at the start of `call`.
    func mixture(call: Int) -> (signal: Float, noise: Float)
}

extension StepRule {
    var sigmas: [Float] { [] }
    var initialNoiseScale: Float { 1 }
    var callsPerStep: Int { 1 }
    func firstCall(afterSteps steps: Int) -> Int { steps * callsPerStep }
    func isStepStart(call: Int) -> Bool { true }
    func noiseMaps(call: Int) -> Int { 0 }
    func scaleInput(_ sample: [Float], call: Int) -> [Float] { sample }
}
