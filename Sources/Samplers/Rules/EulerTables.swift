/// Euler's method over sigmas (Karras et al. 2022) with the tables of diffusers' EulerDiscreteScheduler.
struct EulerTables: StepRule {
    let timesteps: [Double]
    /// One more than steps. With log-linear spacing diffusers has two more, and does not use the last.
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let prediction: PredictionType

    init(_ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int) throws(SamplerError) {
        let final: SigmaTable.Final = configuration.endsAtSmallestSigma ? .smallestTrained : .zero
        let table = try SigmaTable(
            configuration, noiseSchedule: noiseSchedule, steps: steps,
            .init(isWhole: false, readsInterpolation: true, final: final))
        (timesteps, sigmas, initialNoiseScale) = (table.timesteps, table.sigmas, table.initialNoiseScale)
        prediction = configuration.predictionType
    }

    func scaleInput(_ sample: [Float], call: Int) -> [Float] {
        sample.scaledToUnitVariance(sigma: sigmas[call])
    }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (1, sigmas[call]) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let sigma = sigmas[call]
        let difference = sigmas[call + 1] - sigma
        let square = sigma * sigma + 1
        let velocityShare = -sigma / square.squareRoot()
        var result = sample
        for index in sample.indices {
            let (x, output) = (sample[index], modelOutput[index])
            let original: Float
            switch prediction {
            case .epsilon: original = x - sigma * output
            case .sample: original = output
            case .velocity: original = output * velocityShare + x / square
            }
            result[index] = x + (x - original) / sigma * difference
        }
        return result
    }
}
