import Foundation

/// Timesteps and noise levels of the methods on sigmas, in diffusers' layout.
struct SigmaTable: Sendable {
    /// The layout of the table of one of diffusers' classes.
    struct Layout {
        /// Whether timesteps are whole. DPM-Solver and related classes take whole timesteps of one step more, without the
        /// last. Euler and related classes take N timesteps with fractions, down to the lowest.
        var isWhole: Bool
        /// Whether Karras tables have whole timesteps too.
        var roundsBent = false
        /// Whether the class has the option of log-linear levels.
        var readsInterpolation = false
        /// Whether bent timesteps are cut to whole ones with cosine betas, instead of rounded.
        var cutsCosine = false
        /// The sigma after the last step if the configuration asks for the smallest; nil if the class always ends at zero.
        var smallest: Smallest?
    }

    enum Smallest {
        case trained
        /// The last step's own sigma again if the table is bent, else the smallest of training.
        case ofRun
    }

    /// The timesteps, one for each step.
    let timesteps: [Double]
    /// The sigmas, falling, one more than steps.
    let sigmas: [Float]
    /// The factor of the initial noise for Euler and related classes.
    let initialNoiseScale: Float

    init(_ run: RunSetup, _ layout: Layout) throws(SamplerError) {
        let (configuration, steps) = (run.configuration, run.steps)
        let trained = run.noiseSchedule.sigmas
        let spacing = configuration.timestepSpacing ?? .linspace
        var times = try Self.timesteps(configuration, spacing, steps: steps, isWhole: layout.isWhole)
        var levels = times.map { Self.interpolate(trained, at: $0) }
        if configuration.isLogLinear, layout.readsInterpolation {
            let (first, last) = (log(trained[0]), log(trained[trained.count - 1]))
            levels = NoiseSchedule.linspace(last, first, count: steps + 1).map { Double(exp($0)) }
            // Taken directly: rounding the logarithm and back would change it.
            levels[steps] = Double(trained[0])
        }
        let bend = Self.bend(configuration.sigmaSpacing)
        if let bend {
            // Euler and related classes bend between the ends of their own table. DPM-Solver and related classes bend
            // between the smallest and the largest sigma of training.
            let (high, low) =
                layout.isWhole
                ? (Double(trained[trained.count - 1]), Double(trained[0])) : (levels[0], levels[levels.count - 1])
            levels = bend(configuration.sigmaMax ?? high, configuration.sigmaMin ?? low, steps)
            times = Self.times(of: levels, trained, configuration, layout)
        }
        timesteps = times
        let end: Float =
            switch configuration.endsAtSmallestSigma ? layout.smallest : nil {
            case nil: 0
            case .trained: trained[0]
            case .ofRun: bend == nil ? trained[0] : Float(levels[levels.count - 1])
            }
        sigmas = levels.map { Float($0) } + [end]
        let largest = sigmas.max() ?? 0
        initialNoiseScale = spacing == .leading ? (largest * largest + 1).squareRoot() : largest
        try Self.check(sigmas)
    }

    /// The tables of a method whose samples hold the whole signal, with noise of sigma on it.
    var exploding: CallTables {
        CallTables(
            timesteps: timesteps, sigmas: sigmas, initialNoiseScale: initialNoiseScale,
            levels: sigmas.map { NoiseLevel(exploding: $0) }, inputScaling: .unitVariance)
    }

    /// The tables of a method whose samples have unit variance.
    var preserving: CallTables {
        CallTables(timesteps: timesteps, sigmas: sigmas, levels: sigmas.map { NoiseLevel(preserving: $0) })
    }

    /// Checks that every step goes down, or at least not up, from a positive sigma.
    static func check(_ sigmas: [Float]) throws(SamplerError) {
        guard sigmas.allSatisfy({ $0.isFinite }), sigmas.dropLast().allSatisfy({ $0 > 0 }) else {
            throw SamplerError(.badConfiguration, "scheduler_config.json gives sigmas that are not positive numbers.")
        }
        guard zip(sigmas, sigmas.dropFirst()).allSatisfy({ $0 >= $1 }) else {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json gives sigmas that rise; check sigma_min, sigma_max and final_sigmas_type.")
        }
    }

    // MARK: Timesteps

    private static func timesteps(
        _ configuration: SchedulerConfiguration, _ spacing: TimestepSpacing, steps: Int, isWhole: Bool
    ) throws(SamplerError) -> [Double] {
        let train = configuration.trainSteps
        let times: [Double]
        switch spacing {
        case .leading where isWhole:
            guard train / (steps + 1) >= 1 else {
                throw SamplerError(
                    .badRequest, "\(steps) steps are too many for leading timesteps of \(train): take fewer steps.")
            }
            times = Array(
                TimestepTable.leading(trainSteps: train, steps: steps + 1, offset: configuration.stepsOffset).dropLast())
        case .leading:
            times = TimestepTable.leading(trainSteps: train, steps: steps, offset: configuration.stepsOffset)
        case .trailing: times = TimestepTable.trailing(trainSteps: train, steps: steps)
        case .linspace where isWhole, .sgmUniform:
            times = Array(TimestepTable.linspace(trainSteps: train, steps: steps + 1).dropLast())
        case .discrete where steps == 1: times = [Double(train - 1)]
        case .linspace, .discrete: times = TimestepTable.linspace(trainSteps: train, steps: steps)
        }
        return isWhole ? times.map { $0.rounded(.toNearestOrEven) } : times.map { Double(Float($0)) }
    }

    /// The timesteps of bent sigmas.
    private static func times(
        of levels: [Double], _ trained: [Float], _ configuration: SchedulerConfiguration, _ layout: Layout
    ) -> [Double] {
        let logarithms = trained.map { log($0) }
        let times = levels.map { timestep(ofSigma: $0, logarithms: logarithms) }
        guard layout.isWhole || layout.roundsBent else { return times.map { Double(Float($0)) } }
        let cuts =
            configuration.sigmaSpacing == .exponential || (layout.cutsCosine && configuration.betaSchedule == .squaredCosine)
        if layout.isWhole { return cuts ? times.map { $0.rounded(.down) } : times.map { $0.rounded(.toNearestOrEven) } }
        return configuration.sigmaSpacing == .karras ? times.map { $0.rounded(.toNearestOrEven) } : times
    }

    /// Linear interpolation between training steps. Beyond the ends the end values hold.
    private static func interpolate(_ values: [Float], at position: Double) -> Double {
        if position <= 0 { return Double(values[0]) }
        let low = Int(position)
        guard low < values.count - 1 else { return Double(values[values.count - 1]) }
        let (left, right) = (Double(values[low]), Double(values[low + 1]))
        return (right - left) * (position - Double(low)) + left
    }

    /// The timestep, with fraction, that has the trained sigma `sigma`. Between timesteps it is linear in the logarithm.
    static func timestep(ofSigma sigma: Double, logarithms: [Float]) -> Double {
        let wanted = log(max(sigma, 1e-10))
        // The first index with the highest count of trained sigmas below `wanted`. Sigmas rise with the timestep.
        let below = logarithms.lastIndex { wanted >= Double($0) } ?? 0
        let low = max(0, min(below, logarithms.count - 2))
        let high = min(low + 1, logarithms.count - 1)
        let (left, right) = (Double(logarithms[low]), Double(logarithms[high]))
        let share = left == right ? 0 : min(max((left - wanted) / (left - right), 0), 1)
        return (1 - share) * Double(low) + share * Double(high)
    }

    // MARK: Bending

    /// The function that spreads sigmas from the largest to the smallest; nil if they follow the timesteps.
    private static func bend(
        _ spacing: SchedulerConfiguration.SigmaSpacing
    ) -> (@Sendable (_ largest: Double, _ smallest: Double, _ count: Int) -> [Double])? {
        switch spacing {
        case .interpolated: nil
        case .karras: { karras($0, $1, $2, rho: 7) }
        case .exponential: exponential
        // The logarithm falls evenly, as with exponential sigmas (Lu et al. 2022, uniform lambda).
        case .lu: exponential
        }
    }

    /// Karras et al. 2022, equation 5.
    static func karras(_ largest: Double, _ smallest: Double, _ count: Int, rho: Double) -> [Double] {
        let (from, to) = (pow(largest, 1 / rho), pow(smallest, 1 / rho))
        return ramp(count).map { pow(from + $0 * (to - from), rho) }
    }

    /// Evenly spaced logarithms.
    @Sendable static func exponential(_ largest: Double, _ smallest: Double, _ count: Int) -> [Double] {
        let (from, to) = (log(largest), log(smallest))
        return ramp(count).map { exp($0 == 1 ? to : from + $0 * (to - from)) }
    }

    private static func ramp(_ count: Int) -> [Double] {
        count == 1 ? [0] : (0..<count).map { $0 == count - 1 ? 1 : Double($0) * (1 / Double(count - 1)) }
    }
}
