/// Evaluations of the network by number; DDIM and Euler make one a step.
extension Sampler {
    /// How often the network is evaluated.
    public var calls: Int { steps }

    /// `original` noised to the level at which `call` starts.
    public func addNoise(to original: [Float], noise: [Float], call: Int) -> [Float] {
        addNoise(to: original, noise: noise, step: call)
    }

    /// The call at which a run begins that shall change `strength` of the picture, `0...1`; `calls` where nothing is left to do.
    public func firstCall(strength: Double) -> Int { steps - min(Int(Double(steps) * min(max(strength, 0), 1)), steps) }
}
