/// The tables and the formula of one sampling method for a fixed number of steps: what differs from method to method.
///
/// Arrays are planar samples of any shape, all of one size. A rule holds no state: what a run remembers is in its history.
protocol StepRule: Sendable {
    /// The timestep of every call of the network.
    var timesteps: [Double] { get }
    /// diffusers' `sigmas`; empty for methods that have none.
    var sigmas: [Float] { get }
    /// What unit noise is multiplied by to start with.
    var initialNoiseScale: Float { get }
    /// Calls of the network in one step, diffusers' `order`.
    var callsPerStep: Int { get }

    /// The call that comes after the calls of `steps` steps.
    func firstCall(afterSteps steps: Int) -> Int
    func isStepStart(call: Int) -> Bool
    func noiseMaps(call: Int) -> Int
    func scaleInput(_ sample: [Float], call: Int) -> [Float]
    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float]
    /// Signal and noise shares at which `call` starts.
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
