/// DDIM (Song et al. 2020, equation 12) with diffusers' tables.
struct DDIMTables: StepRule {
    /// The numbers of one step, in 32-bit floats as in diffusers.
    private struct Coefficients: Sendable {
        /// Share of signal variance after the step.
        var after: Float
        /// Standard deviation of the fresh noise.
        var deviation: Float
    }

    let tables: CallTables
    private let addsNoise: Bool
    private let prediction: PredictionType
    private let clip: Float?
    private let coefficients: [Coefficients]

    init(_ run: RunSetup) throws(SamplerError) {
        let configuration = run.configuration
        let alphas = run.noiseSchedule.alphasCumprod
        let times = try run.wholeTimesteps()
        tables = try run.tables(times, level: NoiseLevel.init(roundedProduct:))
        prediction = configuration.predictionType
        clip = configuration.clip(byDefault: true)
        addsNoise = run.eta > 0
        let final = configuration.setsAlphaToOne ?? true ? 1 : alphas[0]
        let stride = configuration.trainSteps / run.steps
        coefficients = times.map { timestep in
            let now = alphas[timestep]
            let after = timestep >= stride ? alphas[timestep - stride] : final
            let variance = ((1 - after) / (1 - now)) * (1 - now / after)
            return Coefficients(after: after, deviation: Float(run.eta) * max(variance, 0).squareRoot())
        }
    }

    func noiseMaps(call: Int) -> Int { addsNoise ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let c = coefficients[call]
        let (signal, spread) = (Float(levels[call].signal), Float(levels[call].noise))
        let nextSignal = c.after.squareRoot()
        let direction = max(1 - c.after - c.deviation * c.deviation, 0).squareRoot()
        var result = sample
        for index in sample.indices {
            let (x, output) = (sample[index], modelOutput[index])
            var original: Float
            let epsilon: Float
            switch prediction {
            case .epsilon: (original, epsilon) = ((x - spread * output) / signal, output)
            case .sample: (original, epsilon) = (output, (x - signal * output) / spread)
            case .velocity: (original, epsilon) = (signal * x - spread * output, signal * output + spread * x)
            }
            // min and max would turn a NaN into a number, and it must stay visible.
            if let clip, abs(original) > clip { original = original < 0 ? -clip : clip }
            result[index] = nextSignal * original + direction * epsilon
        }
        guard let noise = noise.first else { return result }
        for index in result.indices { result[index] += c.deviation * noise[index] }
        return result
    }
}

extension SchedulerConfiguration {
    /// The largest value of a noise-free sample; nil if the configuration, or else the method's default, does not limit it.
    func clip(byDefault isDefault: Bool) -> Float? { clipsSample ?? isDefault ? Float(clipRange) : nil }
}

extension RunSetup {
    /// The tables of a method on whole timesteps.
    ///
    /// - Throws: for a model that predicts noise if the run starts at pure noise, because the model learns nothing from it.
    func tables(_ timesteps: [Int], level: (Float) -> NoiseLevel) throws(SamplerError) -> CallTables {
        if configuration.predictionType == .epsilon, noiseSchedule.alphasCumprod[timesteps[0]] == 0 {
            throw SamplerError(
                .unsupported,
                "The schedule starts at pure noise (zero SNR), from which a model that predicts epsilon cannot start.")
        }
        return CallTables(
            timesteps: timesteps.map { Double($0) }, levels: timesteps.map { level(noiseSchedule.alphasCumprod[$0]) })
    }

    /// Whole timesteps, highest first.
    func wholeTimesteps() throws(SamplerError) -> [Int] {
        let trainSteps = configuration.trainSteps
        let times: [Double] =
            switch configuration.timestepSpacing ?? .leading {
            case .leading:
                TimestepTable.leading(trainSteps: trainSteps, steps: steps, offset: configuration.stepsOffset)
            case .trailing: TimestepTable.trailing(trainSteps: trainSteps, steps: steps)
            case .linspace, .discrete, .sgmUniform: TimestepTable.linspace(trainSteps: trainSteps, steps: steps)
            }
        let whole = times.map { Int($0.rounded(.toNearestOrEven)) }
        guard let highest = whole.first, highest < trainSteps else {
            throw SamplerError(
                .badRequest,
                "\(steps) steps with steps_offset \(configuration.stepsOffset) go beyond the \(trainSteps) training steps: "
                    + "take fewer steps.")
        }
        return whole
    }
}
