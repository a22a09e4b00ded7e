import Foundation

/// DEIS in several steps (Zhang and Chen 2023): the rule treats the noise as a polynomial in the logarithm of sigma and
/// integrates it exactly.
struct DEISRule: StepRule {
    let timesteps: [Double]
    let sigmas: [Float]
    private let levels: [NoiseLevel]
    private let shares: [LinearShares]
    private let order: Int
    private let lowersOrder: Bool

    init(_ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int) throws(SamplerError) {
        let table = try SigmaTable(
            configuration, noiseSchedule: noiseSchedule, steps: steps, .init(isWhole: true, final: .repeated))
        (timesteps, sigmas) = (table.timesteps, table.sigmas)
        levels = sigmas.map { NoiseLevel(preserving: $0) }
        let prediction = configuration.predictionType
        shares = levels.dropLast().map { $0.epsilon(prediction) }
        order = configuration.solver.order ?? 2
        lowersOrder = (configuration.solver.lowerOrderFinal ?? true) && steps < 15
    }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (Float(levels[call].signal), Float(levels[call].noise)) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        history.remember(shares[call](sample, modelOutput), limit: order)
        let views = Array(history.outputs.reversed())
        let (start, end) = (levels[call], levels[call + 1])
        var terms: [(share: Double, values: [Float])] = [(end.signal / start.signal, sample)]
        for (weight, view) in zip(weights(call: call, order: usableOrder(call: call, views: views.count)), views) {
            terms.append((end.signal * weight, view))
        }
        return combination(terms)
    }

    private func usableOrder(call: Int, views: Int) -> Int {
        let left = timesteps.count - call
        var usable = lowersOrder && left <= 2 ? min(left, order, views) : min(order, views)
        // Equal sigmas have no slope between them.
        for back in 1..<max(usable, 1) where sigmas[call - back] <= sigmas[call - back + 1] {
            usable = back
            break
        }
        return usable
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
