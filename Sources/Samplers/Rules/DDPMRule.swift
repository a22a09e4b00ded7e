/// Ancestral sampling (Ho et al. 2020, diffusers' DDPMScheduler) with the variances that need no learning.
struct DDPMRule: StepRule {
    private struct Coefficients: Sendable {
        var level: NoiseLevel
        var original: Double
        var sample: Double
        var deviation: Double
    }

    let timesteps: [Double]
    private let coefficients: [Coefficients]
    private let prediction: PredictionType
    private let clip: Float?

    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int
    ) throws(SamplerError) {
        let variance = configuration.solver.variance ?? "fixed_small"
        guard ["fixed_small", "fixed_small_log", "fixed_large"].contains(variance) else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: variance_type = \(variance) is not supported by DDPM; fixed_small and fixed_large are.")
        }
        let times = try DDIMTables.timesteps(configuration, steps: steps)
        let alphas = noiseSchedule.alphasCumprod
        timesteps = times.map { Double($0) }
        prediction = configuration.predictionType
        clip = configuration.clipsSample ?? true ? Float(configuration.clipRange) : nil
        coefficients = times.indices.map { index in
            let now = Double(alphas[times[index]])
            let after = index + 1 < times.count ? Double(alphas[times[index + 1]]) : 1
            let beta = 1 - now / after
            let small = max((1 - after) / (1 - now) * beta, 1e-20)
            return Coefficients(
                level: NoiseLevel(product: alphas[times[index]]),
                original: after.squareRoot() * beta / (1 - now),
                sample: (now / after).squareRoot() * (1 - after) / (1 - now),
                deviation: (variance == "fixed_large" ? beta : small).squareRoot())
        }
        try DDIMTables.checkStart(configuration, alpha: alphas[times[0]])
    }

    func noiseMaps(call: Int) -> Int { timesteps[call] > 0 ? 1 : 0 }

    func mixture(call: Int) -> (signal: Float, noise: Float) {
        let level = coefficients[call].level
        return (Float(level.signal), Float(level.noise))
    }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let c = coefficients[call]
        let original = clamped(c.level.original(prediction)(sample, modelOutput), to: clip)
        return combination([(c.original, original), (c.sample, sample)] + noise.map { (c.deviation, $0) })
    }
}
