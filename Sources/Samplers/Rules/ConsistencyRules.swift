/// Timesteps for models that were distilled for a fixed number of steps: an even selection of that number.
struct DistilledTimesteps {
    let values: [Int]

    init(_ configuration: SchedulerConfiguration, steps: Int) throws(SamplerError) {
        let original = configuration.solver.originalSteps
        guard original <= configuration.trainSteps else {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json: original_inference_steps \(original) must be at most the \(configuration.trainSteps) training steps."
            )
        }
        guard steps <= original else {
            throw SamplerError(
                .badRequest,
                "\(steps) steps cannot be done: the model's scheduler knows \(original) (original_inference_steps); take at most as many."
            )
        }
        let stride = configuration.trainSteps / original
        let distance = Double(original) / Double(steps)
        values = (0..<steps).map { (original - min(Int(Double($0) * distance), original - 1)) * stride - 1 }
    }
}

/// Latent consistency models (Luo et al. 2023, diffusers' LCMScheduler): each call jumps to the noise-free sample and adds
/// fresh noise to it for the next call.
struct LCMRule: StepRule {
    private struct Coefficients: Sendable {
        var level: NoiseLevel
        /// The shares of the noise-free sample and of the sample, from the boundary condition.
        var out: Double
        var skip: Double
        /// Where the next call begins; nil after the last.
        var next: NoiseLevel?
    }

    let timesteps: [Double]
    private let coefficients: [Coefficients]
    private let prediction: PredictionType
    private let clip: Float?

    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int
    ) throws(SamplerError) {
        let times = try DistilledTimesteps(configuration, steps: steps).values
        let alphas = noiseSchedule.alphasCumprod
        timesteps = times.map { Double($0) }
        prediction = configuration.predictionType
        clip = configuration.clipsSample ?? false ? Float(configuration.clipRange) : nil
        // 0.5 is the method's standard deviation of the data. It is no option.
        let data = 0.5
        coefficients = times.indices.map { index in
            let scaled = Double(times[index]) * configuration.solver.timestepScaling
            let square = scaled * scaled + data * data
            return Coefficients(
                level: NoiseLevel(product: alphas[times[index]]), out: scaled / square.squareRoot(), skip: data * data / square,
                next: index + 1 < times.count ? NoiseLevel(product: alphas[times[index + 1]]) : nil)
        }
        try DDIMTables.checkStart(configuration, alpha: alphas[times[0]])
    }

    func noiseMaps(call: Int) -> Int { coefficients[call].next == nil ? 0 : 1 }

    func mixture(call: Int) -> (signal: Float, noise: Float) {
        let level = coefficients[call].level
        return (Float(level.signal), Float(level.noise))
    }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let c = coefficients[call]
        let original = clamped(c.level.original(prediction)(sample, modelOutput), to: clip)
        guard let next = c.next, let noise = noise.first else { return combination([(c.out, original), (c.skip, sample)]) }
        return combination([(next.signal * c.out, original), (next.signal * c.skip, sample), (next.noise, noise)])
    }
}

/// Trajectory consistency distillation (Zheng et al. 2024, diffusers' TCDScheduler): each call jumps to a level below the
/// next one, and adds fresh noise up to the next one. `eta` decides how far below.
struct TCDRule: StepRule {
    private struct Coefficients: Sendable {
        var level: NoiseLevel
        var target: NoiseLevel
        /// Shares of the target and of fresh noise in the next sample.
        var kept: Double
        var fresh: Double
        var addsNoise: Bool
    }

    let timesteps: [Double]
    private let coefficients: [Coefficients]
    private let prediction: PredictionType

    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int, eta: Double
    ) throws(SamplerError) {
        let times = try DistilledTimesteps(configuration, steps: steps).values
        let alphas = noiseSchedule.alphasCumprod
        timesteps = times.map { Double($0) }
        prediction = configuration.predictionType
        coefficients = times.indices.map { index in
            let next = index + 1 < times.count ? times[index + 1] : 0
            // 32-bit floats, as in diffusers: the product decides which level is meant.
            let target = min(max(Int((Float(1 - eta) * Float(next)).rounded(.down)), 0), next)
            let ratio = Double(alphas[next]) / Double(alphas[target])
            let addsNoise = eta > 0 && index + 1 < times.count
            return Coefficients(
                level: NoiseLevel(product: alphas[times[index]]), target: NoiseLevel(product: alphas[target]),
                kept: addsNoise ? ratio.squareRoot() : 1, fresh: addsNoise ? max(1 - ratio, 0).squareRoot() : 0,
                addsNoise: addsNoise)
        }
        try DDIMTables.checkStart(configuration, alpha: alphas[times[0]])
    }

    func noiseMaps(call: Int) -> Int { coefficients[call].addsNoise ? 1 : 0 }

    func mixture(call: Int) -> (signal: Float, noise: Float) {
        let level = coefficients[call].level
        return (Float(level.signal), Float(level.noise))
    }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let c = coefficients[call]
        let (original, epsilon) = (c.level.original(prediction), c.level.epsilon(prediction))
        let shares = LinearShares(
            sample: c.target.signal * original.sample + c.target.noise * epsilon.sample,
            output: c.target.signal * original.output + c.target.noise * epsilon.output)
        return combination(
            [(c.kept * shares.sample, sample), (c.kept * shares.output, modelOutput)] + noise.map { (c.fresh, $0) })
    }
}
