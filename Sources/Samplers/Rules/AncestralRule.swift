/// Euler's method in the form of shares: with fresh noise in every step (diffusers' EulerAncestralDiscreteScheduler), or for
/// models with EDM's preconditioning, without noise (EDMEulerScheduler without churn).
struct AncestralRule: StepRule {
    let tables: CallTables
    /// The noise-free sample at each call.
    private let shares: [LinearShares]
    private let parts: [AncestralStep]
    private let drawsNoise: Bool

    init(_ run: RunSetup) throws(SamplerError) {
        let table = try SigmaTable(run, .init(isWhole: false))
        let prediction = run.configuration.predictionType
        self.init(
            table.exploding, table.sigmas.dropLast().map { NoiseLevel.original(prediction, sigma: $0) }, eta: run.eta,
            drawsNoise: true)
    }

    init(edm run: RunSetup) throws(SamplerError) {
        let table = try EDMTable(run, smallest: nil)
        self.init(table.tables, table.shares, eta: 0, drawsNoise: false)
    }

    private init(_ tables: CallTables, _ shares: [LinearShares], eta: Double, drawsNoise: Bool) {
        (self.tables, self.shares, self.drawsNoise) = (tables, shares, drawsNoise)
        let sigmas = tables.sigmas.map { Double($0) }
        parts = zip(sigmas, sigmas.dropFirst()).map { AncestralStep(from: $0, to: $1, eta: eta) }
    }

    /// diffusers draws noise in the last step too, although nothing of it is used there.
    func noiseMaps(call: Int) -> Int { drawsNoise ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let original = shares[call]
        let kept = parts[call].down / Double(sigmas[call])
        return combination(
            [(kept + (1 - kept) * original.sample, sample), ((1 - kept) * original.output, modelOutput)]
                + noise.map { (parts[call].up, $0) })
    }
}
