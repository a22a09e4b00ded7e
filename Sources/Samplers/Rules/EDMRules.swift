import Foundation

/// Sigmas and preconditioning of Karras et al. 2022 (EDM), table 1, as in diffusers' EDM classes.
struct EDMTable: Sendable {
    /// diffusers' defaults.
    static let smallest = 0.002
    static let largest = 80.0

    /// A quarter of the logarithm of each sigma. The network receives these numbers.
    let timesteps: [Double]
    /// One more than steps.
    let sigmas: [Float]
    let initialNoiseScale: Float
    /// The noise-free sample at each call, as shares.
    let shares: [LinearShares]
    let inputScales: [Float]

    /// - Parameter smallest: the sigma after the last step, if that is not zero.
    init(_ configuration: SchedulerConfiguration, steps: Int, smallest: Double?) throws(SamplerError) {
        let (low, high) = (configuration.sigmaMin ?? Self.smallest, configuration.sigmaMax ?? Self.largest)
        guard low < high else {
            throw SamplerError(
                .badConfiguration, "scheduler_config.json: sigma_min \(low) must be less than sigma_max \(high).")
        }
        let levels =
            configuration.sigmaSpacing == .exponential
            ? SigmaTable.exponential(steps == 1 ? low : high, low, steps)
            : SigmaTable.karras(high, low, steps, rho: configuration.solver.rho)
        let final = configuration.endsAtSmallestSigma ? smallest ?? levels[levels.count - 1] : 0
        sigmas = levels.map { Float($0) } + [Float(final)]
        try SigmaTable.check(sigmas)
        timesteps = sigmas.dropLast().map { Double(0.25 * log($0)) }
        initialNoiseScale = Float((high * high + 1).squareRoot())
        let data = configuration.solver.dataDeviation
        let prediction = configuration.predictionType
        guard prediction != .sample else {
            throw SamplerError(.unsupported, "scheduler_config.json: prediction_type = sample does not exist for EDM.")
        }
        shares = sigmas.dropLast().map { sigma in
            let sigma = Double(sigma)
            let square = sigma * sigma + data * data
            let output = sigma * data / square.squareRoot()
            return LinearShares(sample: data * data / square, output: prediction == .velocity ? -output : output)
        }
        inputScales = sigmas.dropLast().map { Float(1 / (Double($0) * Double($0) + data * data).squareRoot()) }
    }
}

/// Euler's method on EDM's sigmas, without churn.
struct EDMEulerRule: StepRule {
    private let table: EDMTable

    init(_ configuration: SchedulerConfiguration, steps: Int) throws(SamplerError) {
        table = try EDMTable(configuration, steps: steps, smallest: nil)
    }

    var timesteps: [Double] { table.timesteps }
    var sigmas: [Float] { table.sigmas }
    var initialNoiseScale: Float { table.initialNoiseScale }

    func scaleInput(_ sample: [Float], call: Int) -> [Float] {
        let scale = table.inputScales[call]
        return sample.map { $0 * scale }
    }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (1, sigmas[call]) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let kept = Double(sigmas[call + 1]) / Double(sigmas[call])
        let shares = table.shares[call]
        return combination([
            (kept + (1 - kept) * shares.sample, sample), ((1 - kept) * shares.output, modelOutput),
        ])
    }
}
