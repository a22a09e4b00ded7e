import Foundation

/// The Euler method over sigmas (Karras et al. 2022) with the tables of diffusers' EulerDiscreteScheduler.
struct EulerTables: StepRule {
    let timesteps: [Double]
    /// One more than steps; with log-linear spacing diffusers has two more, of which the last is not used.
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let prediction: PredictionType

    init(_ configuration: SchedulerConfiguration, schedule: NoiseSchedule, steps: Int) throws(SamplerError) {
        if let option = configuration.unsupportedEulerOptions.first {
            throw SamplerError(
                .unsupported, "scheduler_config.json: \(option) is not supported by the Euler sampler; choose ddim.")
        }
        let trained = schedule.sigmas
        let spacing = configuration.timestepSpacing ?? .linspace
        var times = Self.timesteps(configuration, spacing: spacing, steps: steps)
        var levels: [Double]
        if configuration.sigmaSpacing == .logLinear {
            let (first, last) = (log(trained[0]), log(trained[trained.count - 1]))
            levels = NoiseSchedule.linspace(last, first, count: steps + 1).map { Double(exp($0)) }
        } else {
            levels = times.map { Self.interpolate(trained, at: Double($0)) }
        }
        if let bend = Self.bend(configuration.sigmaSpacing) {
            let largest = configuration.sigmaMax ?? levels[0]
            let smallest = configuration.sigmaMin ?? levels[levels.count - 1]
            levels = bend(largest, smallest, steps)
            let logarithms = trained.map { log($0) }
            times = levels.map { Float(Self.timestep(ofSigma: $0, logarithms: logarithms)) }
        }
        timesteps = times.map(Double.init)
        sigmas = levels.map { Float($0) } + [configuration.endsAtSmallestSigma ? trained[0] : 0]
        prediction = configuration.predictionType
        let largest = sigmas.max() ?? 0
        initialNoiseScale = spacing == .leading ? (largest * largest + 1).squareRoot() : largest
        guard sigmas.allSatisfy({ $0.isFinite }), sigmas.dropLast().allSatisfy({ $0 > 0 }) else {
            throw SamplerError(.badConfiguration, "scheduler_config.json gives sigmas that are not positive numbers.")
        }
    }

    func scaleInput(_ sample: [Float], call: Int) -> [Float] {
        let divisor = (sigmas[call] * sigmas[call] + 1).squareRoot()
        return sample.map { $0 / divisor }
    }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (1, sigmas[call]) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        let sigma = sigmas[call]
        let difference = sigmas[call + 1] - sigma
        let square = sigma * sigma + 1
        let velocityShare = -sigma / square.squareRoot()
        var result = sample
        for index in sample.indices {
            let (x, output) = (sample[index], modelOutput[index])
            let original: Float
            switch prediction {
            case .epsilon: original = x - sigma * output
            case .sample: original = output
            case .velocity: original = output * velocityShare + x / square
            }
            result[index] = x + (x - original) / sigma * difference
        }
        return result
    }

    private static func timesteps(
        _ configuration: SchedulerConfiguration, spacing: TimestepSpacing, steps: Int
    ) -> [Float] {
        let trainSteps = configuration.trainSteps
        switch spacing {
        case .leading:
            let offset = configuration.stepsOffset
            return TimestepTable.leading(trainSteps: trainSteps, steps: steps, offset: offset).map { Float($0) }
        case .trailing: return TimestepTable.trailing(trainSteps: trainSteps, steps: steps).map { Float($0) }
        case .linspace: return TimestepTable.linspace(trainSteps: trainSteps, steps: steps).map { Float($0) }
        }
    }

    /// Linear interpolation between training steps; beyond the ends the end values hold.
    private static func interpolate(_ values: [Float], at position: Double) -> Double {
        if position <= 0 { return Double(values[0]) }
        let low = Int(position)
        guard low < values.count - 1 else { return Double(values[values.count - 1]) }
        let (left, right) = (Double(values[low]), Double(values[low + 1]))
        return (right - left) * (position - Double(low)) + left
    }

    /// How sigmas run from the largest to the smallest when they do not follow the timesteps.
    private static func bend(
        _ spacing: SchedulerConfiguration.SigmaSpacing
    ) -> (@Sendable (_ largest: Double, _ smallest: Double, _ count: Int) -> [Double])? {
        switch spacing {
        case .interpolated, .logLinear: nil
        case .karras:
            { largest, smallest, count in
                let (from, to) = (pow(largest, 1 / 7), pow(smallest, 1 / 7))
                return ramp(count).map { pow(from + $0 * (to - from), 7) }
            }
        case .exponential:
            { largest, smallest, count in
                let (from, to) = (log(largest), log(smallest))
                return ramp(count).map { exp($0 == 1 ? to : from + $0 * (to - from)) }
            }
        }
    }

    private static func ramp(_ count: Int) -> [Double] {
        count == 1 ? [0] : (0..<count).map { $0 == count - 1 ? 1 : Double($0) * (1 / Double(count - 1)) }
    }

    /// The timestep, with fraction, whose trained sigma is `sigma`: linear in the logarithm.
    private static func timestep(ofSigma sigma: Double, logarithms: [Float]) -> Double {
        let wanted = log(max(sigma, 1e-10))
        // The first index at which the count of trained sigmas below `wanted` is highest; sigmas rise with the timestep.
        let below = logarithms.lastIndex { wanted >= Double($0) } ?? 0
        let low = max(0, min(below, logarithms.count - 2))
        let high = min(low + 1, logarithms.count - 1)
        let (left, right) = (Double(logarithms[low]), Double(logarithms[high]))
        let share = left == right ? 0 : min(max((left - wanted) / (left - right), 0), 1)
        return (1 - share) * Double(low) + share * Double(high)
    }
}
