import Foundation

/// Sigmas and preconditioning of Karras et al. 2022 (EDM), table 1, as in diffusers' EDM classes.
struct EDMTable {
    /// diffusers' defaults.
    static let smallest = 0.002
    static let largest = 80.0

    /// A timestep is a quarter of the logarithm of its sigma. There is one sigma more than steps.
    let tables: CallTables
    /// The noise-free sample at each call.
    let shares: [LinearShares]

    /// - Parameter smallest: the sigma after the last step, if that is not zero.
    init(_ run: RunSetup, smallest: Double?) throws(SamplerError) {
        let configuration = run.configuration
        let (low, high) = (configuration.sigmaMin ?? Self.smallest, configuration.sigmaMax ?? Self.largest)
        guard low < high else {
            throw SamplerError(
                .badConfiguration, "scheduler_config.json: sigma_min \(low) must be less than sigma_max \(high).")
        }
        let levels =
            configuration.sigmaSpacing == .exponential
            ? SigmaTable.exponential(run.steps == 1 ? low : high, low, run.steps)
            : SigmaTable.karras(high, low, run.steps, rho: configuration.solver.rho)
        let final = configuration.endsAtSmallestSigma ? smallest ?? levels[levels.count - 1] : 0
        let sigmas = levels.map { Float($0) } + [Float(final)]
        try SigmaTable.check(sigmas)
        let prediction = configuration.predictionType
        guard prediction != .sample else {
            throw SamplerError(.unsupported, "scheduler_config.json: prediction_type = sample does not exist for EDM.")
        }
        let data = configuration.solver.dataDeviation
        let squares = sigmas.dropLast().map { Double($0) * Double($0) + data * data }
        shares = zip(sigmas, squares).map { sigma, square in
            let output = Double(sigma) * data / square.squareRoot()
            return LinearShares(sample: data * data / square, output: prediction == .velocity ? -output : output)
        }
        tables = CallTables(
            timesteps: sigmas.dropLast().map { Double(0.25 * log($0)) }, sigmas: sigmas,
            initialNoiseScale: Float((high * high + 1).squareRoot()), levels: sigmas.map { NoiseLevel(exploding: $0) },
            inputScaling: .factors(squares.map { Float(1 / $0.squareRoot()) }))
    }
}
