/// Euler's method with fresh noise in every step (diffusers' EulerAncestralDiscreteScheduler).
struct AncestralRule: StepRule {
    let timesteps: [Double]
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let prediction: PredictionType
    private let parts: [AncestralStep]

    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int, eta: Double
    ) throws(SamplerError) {
        let table = try SigmaTable(configuration, noiseSchedule: noiseSchedule, steps: steps, .init(isWhole: false))
        (timesteps, sigmas, initialNoiseScale) = (table.timesteps, table.sigmas, table.initialNoiseScale)
        prediction = configuration.predictionType
        parts = zip(table.sigmas, table.sigmas.dropFirst()).map { AncestralStep(from: Double($0), to: Double($1), eta: eta) }
    }

    /// diffusers draws noise in the last step too, although nothing of it is used there.
    func noiseMaps(call: Int) -> Int { 1 }

    func scaleInput(_ sample: [Float], call: Int) -> [Float] { sample.scaledToUnitVariance(sigma: sigmas[call]) }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (1, sigmas[call]) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let original = NoiseLevel.original(prediction, sigma: sigmas[call])
        let kept = parts[call].down / Double(sigmas[call])
        return combination([
            (kept + (1 - kept) * original.sample, sample), ((1 - kept) * original.output, modelOutput),
            (parts[call].up, noise[0]),
        ])
    }
}
