extension RunSetup {
    /// Timesteps for models that were distilled for a fixed number of steps: an even selection of that number.
    fileprivate func distilledTimesteps() throws(SamplerError) -> [Int] {
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
        return (0..<steps).map { (original - min(Int(Double($0) * distance), original - 1)) * stride - 1 }
    }
}

/// Latent consistency models (Luo et al. 2023, diffusers' LCMScheduler): each call jumps to the noise-free sample and adds
/// fresh noise to it for the next call.
struct LCMRule: StepRule {
    let tables: CallTables
    /// The shares of the sample and of the noise-free sample, from the boundary condition.
    private let boundaries: [LinearShares]
    private let prediction: PredictionType
    private let clip: Float?

    init(_ run: RunSetup) throws(SamplerError) {
        let times = try run.distilledTimesteps()
        tables = try run.tables(times, level: NoiseLevel.init(product:))
        prediction = run.configuration.predictionType
        clip = run.configuration.clip(byDefault: false)
        // 0.5 is the method's standard deviation of the data. It is no option.
        let data = 0.5
        boundaries = times.map { time in
            let scaled = Double(time) * run.configuration.solver.timestepScaling
            let square = scaled * scaled + data * data
            return LinearShares(sample: data * data / square, output: scaled / square.squareRoot())
        }
    }

    func noiseMaps(call: Int) -> Int { call + 1 < timesteps.count ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let boundary = boundaries[call]
        let original = clamped(levels[call].original(prediction)(sample, modelOutput), to: clip)
        guard let noise = noise.first else { return boundary(sample, original) }
        let next = levels[call + 1]
        return combination([
            (next.signal * boundary.output, original), (next.signal * boundary.sample, sample), (next.noise, noise),
        ])
    }
}

/// Trajectory consistency distillation (Zheng et al. 2024, diffusers' TCDScheduler): each call jumps to a level below the
/// next one, and adds fresh noise up to the next one. `eta` decides how far below.
struct TCDRule: StepRule {
    private struct Jump: Sendable {
        /// The level that the call jumps to.
        var target: NoiseLevel
        /// Shares of the target and of fresh noise in the next sample.
        var kept = 1.0
        var fresh = 0.0
    }

    let tables: CallTables
    private let jumps: [Jump]
    private let prediction: PredictionType
    private let addsNoise: Bool

    init(_ run: RunSetup) throws(SamplerError) {
        let times = try run.distilledTimesteps()
        let alphas = run.noiseSchedule.alphasCumprod
        tables = try run.tables(times, level: NoiseLevel.init(product:))
        prediction = run.configuration.predictionType
        addsNoise = run.eta > 0
        jumps = times.indices.map { index in
            let next = index + 1 < times.count ? times[index + 1] : 0
            // 32-bit floats, as in diffusers: the product decides which level is meant.
            let target = min(max(Int((Float(1 - run.eta) * Float(next)).rounded(.down)), 0), next)
            let level = NoiseLevel(product: alphas[target])
            guard run.eta > 0, index + 1 < times.count else { return Jump(target: level) }
            let ratio = Double(alphas[next]) / Double(alphas[target])
            return Jump(target: level, kept: ratio.squareRoot(), fresh: max(1 - ratio, 0).squareRoot())
        }
    }

    func noiseMaps(call: Int) -> Int { addsNoise && call + 1 < timesteps.count ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let (level, jump) = (levels[call], jumps[call])
        let (original, epsilon) = (level.original(prediction), level.epsilon(prediction))
        let shares = LinearShares(
            sample: jump.target.signal * original.sample + jump.target.noise * epsilon.sample,
            output: jump.target.signal * original.output + jump.target.noise * epsilon.output)
        return combination(
            [(jump.kept * shares.sample, sample), (jump.kept * shares.output, modelOutput)] + noise.map { (jump.fresh, $0) })
    }
}
