/// Linear multistep (Adams and Bashforth) of fourth order on sigmas: the rule treats the derivative as a polynomial in sigma
/// through the last calls (diffusers' LMSDiscreteScheduler).
struct LMSRule: StepRule {
    let timesteps: [Double]
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let prediction: PredictionType

    private static let order = 4

    init(_ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int) throws(SamplerError) {
        let table = try SigmaTable(configuration, noiseSchedule: noiseSchedule, steps: steps, .init(isWhole: false))
        (timesteps, sigmas, initialNoiseScale) = (table.timesteps, table.sigmas, table.initialNoiseScale)
        prediction = configuration.predictionType
    }

    func scaleInput(_ sample: [Float], call: Int) -> [Float] { sample.scaledToUnitVariance(sigma: sigmas[call]) }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (1, sigmas[call]) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let original = NoiseLevel.original(prediction, sigma: sigmas[call])
        let sigma = Double(sigmas[call])
        let derivative = LinearShares(sample: (1 - original.sample) / sigma, output: -original.output / sigma)
        history.remember(derivative(sample, modelOutput), limit: Self.order)
        var terms: [(share: Double, values: [Float])] = [(1, sample)]
        for (weight, values) in zip(weights(call: call, order: history.outputs.count), history.outputs.reversed()) {
            terms.append((weight, values))
        }
        return combination(terms)
    }

    /// The integrals, from this sigma to the next, of the Lagrange polynomials over the last `order` calls. Gauss's rule of
    /// three points computes them; it is exact for polynomials of degree five. Calls of equal sigma count once.
    private func weights(call: Int, order: Int) -> [Double] {
        var order = order
        for back in 1..<max(order, 1) where sigmas[call - back] <= sigmas[call - back + 1] {
            order = back
            break
        }
        let (from, to) = (Double(sigmas[call]), Double(sigmas[call + 1]))
        let (middle, half) = ((from + to) / 2, (to - from) / 2)
        let reach = 0.6.squareRoot()
        return (0..<order).map { own in
            func polynomial(_ place: Double) -> Double {
                (0..<order).reduce(1) { product, other in
                    let node = Double(sigmas[call - other])
                    return other == own ? product : product * (place - node) / (Double(sigmas[call - own]) - node)
                }
            }
            let sum =
                5 * polynomial(middle - half * reach) + 8 * polynomial(middle) + 5 * polynomial(middle + half * reach)
            return half * sum / 9
        }
    }
}

extension [Float] {
    /// The network's input for a sample with noise of `sigma`.
    func scaledToUnitVariance(sigma: Float) -> [Float] {
        let divisor = (sigma * sigma + 1).squareRoot()
        return map { $0 / divisor }
    }
}
