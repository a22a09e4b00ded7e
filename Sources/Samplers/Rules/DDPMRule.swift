/// Ancestral sampling (Ho et al. 2020, diffusers' DDPMScheduler) with the variances that need no learning.
struct DDPMRule: StepRule {
    private struct Coefficients: Sendable {
        var original: Double
        var sample: Double
        var deviation: Double
    }

    let tables: CallTables
    private let coefficients: [Coefficients]
    private let prediction: PredictionType
    private let clip: Float?

    init(_ run: RunSetup) throws(SamplerError) {
        let variance = run.configuration.solver.variance ?? "fixed_small"
        guard ["fixed_small", "fixed_small_log", "fixed_large"].contains(variance) else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: variance_type = \(variance) is not supported by DDPM; fixed_small and fixed_large are.")
        }
        let times = try run.wholeTimesteps()
        let alphas = run.noiseSchedule.alphasCumprod
        tables = try run.tables(times, level: NoiseLevel.init(product:))
        prediction = run.configuration.predictionType
        clip = run.configuration.clip(byDefault: true)
        coefficients = times.indices.map { index in
            let now = Double(alphas[times[index]])
            let after = index + 1 < times.count ? Double(alphas[times[index + 1]]) : 1
            let beta = 1 - now / after
            let small = max((1 - after) / (1 - now) * beta, 1e-20)
            return Coefficients(
                original: after.squareRoot() * beta / (1 - now),
                sample: (now / after).squareRoot() * (1 - after) / (1 - now),
                deviation: (variance == "fixed_large" ? beta : small).squareRoot())
        }
    }

    func noiseMaps(call: Int) -> Int { timesteps[call] > 0 ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let c = coefficients[call]
        let original = clamped(levels[call].original(prediction)(sample, modelOutput), to: clip)
        return combination([(c.original, original), (c.sample, sample)] + noise.map { (c.deviation, $0) })
    }
}
