/// Linear multistep (Adams and Bashforth) of fourth order on sigmas: the rule treats the derivative as a polynomial in sigma
/// through the last calls (diffusers' LMSDiscreteScheduler).
struct LMSRule: StepRule {
    let tables: CallTables
    private let prediction: PredictionType

    private static let order = 4

    init(_ run: RunSetup) throws(SamplerError) {
        tables = try SigmaTable(run, .init(isWhole: false)).exploding
        prediction = run.configuration.predictionType
    }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let original = NoiseLevel.original(prediction, sigma: sigmas[call])
        let sigma = Double(sigmas[call])
        let derivative = LinearShares(sample: (1 - original.sample) / sigma, output: -original.output / sigma)
        let views = history.remember(derivative(sample, modelOutput), limit: Self.order)
        return combination([(1, sample)] + weighted(views, by: weights(call: call, order: views.count)))
    }

    /// The integrals, from this sigma to the next, of the Lagrange polynomials over the last `order` calls. Gauss's rule of
    /// three points computes them; it is exact for polynomials of degree five. Calls of equal sigma count once.
    private func weights(call: Int, order: Int) -> [Double] {
        let order = tables.distinctSigmas(before: call, limit: order)
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
