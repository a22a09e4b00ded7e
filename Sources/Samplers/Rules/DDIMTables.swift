/// DDIM (Song et al. 2020, equation 12) with diffusers' tables.
struct DDIMTables: StepRule {
    /// The numbers of one step, in 32-bit floats as in diffusers.
    private struct Coefficients: Sendable {
        /// Signal share now and after the step.
        var now: Float
        var after: Float
        /// Standard deviation of the fresh noise.
        var deviation: Float
    }

    let timesteps: [Double]
    private let addsNoise: Bool
    private let prediction: PredictionType
    private let clip: Float?
    private let coefficients: [Coefficients]

    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int, eta: Double
    ) throws(SamplerError) {
        let trainSteps = configuration.trainSteps
        let times = try Self.timesteps(configuration, steps: steps)
        prediction = configuration.predictionType
        clip = configuration.clipsSample ?? true ? Float(configuration.clipRange) : nil
        let final = configuration.setsAlphaToOne ?? true ? 1 : noiseSchedule.alphasCumprod[0]
        let stride = trainSteps / steps
        timesteps = times.map(Double.init)
        addsNoise = eta > 0
        coefficients = times.map { timestep in
            let now = noiseSchedule.alphasCumprod[timestep]
            let after = timestep >= stride ? noiseSchedule.alphasCumprod[timestep - stride] : final
            let variance = ((1 - after) / (1 - now)) * (1 - now / after)
            return Coefficients(now: now, after: after, deviation: Float(eta) * max(variance, 0).squareRoot())
        }
        try Self.checkStart(configuration, alpha: coefficients[0].now)
    }

    /// A model that predicts noise learns nothing from a sample of pure noise, so a run cannot start there.
    static func checkStart(_ configuration: SchedulerConfiguration, alpha: Float) throws(SamplerError) {
        if configuration.predictionType == .epsilon, alpha == 0 {
            throw SamplerError(
                .unsupported,
                "The schedule starts at pure noise (zero SNR), from which a model that predicts epsilon cannot start.")
        }
    }

    func noiseMaps(call: Int) -> Int { addsNoise ? 1 : 0 }

    func mixture(call: Int) -> (signal: Float, noise: Float) {
        let now = coefficients[call].now
        return (now.squareRoot(), (1 - now).squareRoot())
    }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let c = coefficients[call]
        let (signal, spread) = (c.now.squareRoot(), (1 - c.now).squareRoot())
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

    /// Whole timesteps, highest first.
    static func timesteps(_ configuration: SchedulerConfiguration, steps: Int) throws(SamplerError) -> [Int] {
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
