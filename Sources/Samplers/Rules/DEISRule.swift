import Foundation

/// DEIS in several steps (Zhang and Chen 2023): the rule treats the noise as a polynomial in the logarithm of sigma and
/// integrates it exactly.
struct DEISRule: StepRule {
    let tables: CallTables
    private let prediction: PredictionType
    private let order: Int
    private let lowersOrder: Bool

    init(_ run: RunSetup) throws(SamplerError) {
        var run = run
        // diffusers' class cannot end at sigma 0.
        run.configuration.endsAtSmallestSigma = true
        tables = try SigmaTable(run, .init(isWhole: true, smallest: .ofRun)).preserving
        prediction = run.configuration.predictionType
        order = run.configuration.solver.order ?? 2
        lowersOrder = (run.configuration.solver.lowerOrderFinal ?? true) && run.steps < 15
    }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let views = history.remember(levels[call].epsilon(prediction)(sample, modelOutput), limit: order)
        let (start, end) = (levels[call], levels[call + 1])
        let weights = weights(call: call, order: usableOrder(call: call, views: views.count)).map { end.signal * $0 }
        return combination([(end.signal / start.signal, sample)] + weighted(views, by: weights))
    }

    private func usableOrder(call: Int, views: Int) -> Int {
        let left = timesteps.count - call
        let usable = lowersOrder && left <= 2 ? min(left, order, views) : min(order, views)
        return tables.distinctSigmas(before: call, limit: usable)
    }

    /// The integrals, from this sigma to the next, of the Lagrange polynomials in log sigma over the last `order` calls.
    private func weights(call: Int, order: Int) -> [Double] {
        let places = (0..<order).map { log(Double(sigmas[call - $0])) }
        let moments = (0..<order).map { Self.moment($0, Double(sigmas[call + 1])) - Self.moment($0, Double(sigmas[call])) }
        return (0..<order).map { own in
            // The polynomial's coefficients, lowest power first.
            var coefficients = [1.0]
            for other in 0..<order where other != own {
                let scale = places[own] - places[other]
                let shifted = [0] + coefficients
                coefficients = shifted.indices.map {
                    (shifted[$0] - places[other] * ($0 < coefficients.count ? coefficients[$0] : 0)) / scale
                }
            }
            return zip(coefficients, moments).reduce(0) { $0 + $1.0 * $1.1 }
        }
    }

    /// The antiderivative of a power of the logarithm.
    private static func moment(_ power: Int, _ sigma: Double) -> Double {
        let logarithm = log(sigma)
        return switch power {
        case 0: sigma
        case 1: sigma * (logarithm - 1)
        default: sigma * (logarithm * logarithm - 2 * logarithm + 2)
        }
    }
}
