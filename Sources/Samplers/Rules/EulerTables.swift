/// Euler's method over sigmas (Karras et al. 2022) with the tables of diffusers' EulerDiscreteScheduler.
struct EulerTables: StepRule {
    /// The tables. With log-linear spacing diffusers has two more sigmas than steps, and does not use the last.
    let tables: CallTables
    private let prediction: PredictionType

    init(_ run: RunSetup) throws(SamplerError) {
        tables = try SigmaTable(run, .init(isWhole: false, readsInterpolation: true, smallest: .trained)).exploding
        prediction = run.configuration.predictionType
    }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let sigma = sigmas[call]
        let difference = sigmas[call + 1] - sigma
        let square = sigma * sigma + 1
        let velocityShare = -sigma / square.squareRoot()
        var result = sample
        for index in sample.indices {
            let (x, output) = (sample[index], modelOutput[index])
            let original =
                switch prediction {
                case .epsilon: x - sigma * output
                case .sample: output
                case .velocity: output * velocityShare + x / square
                }
            result[index] = x + (x - original) / sigma * difference
        }
        return result
    }
}
