/// DPM-Solver in single steps (Lu et al. 2022, diffusers' DPMSolverSinglestepScheduler): two or three calls share a step.
/// Each call goes from the step's start, with one view more than the call before.
struct SinglestepRule: StepRule {
    let tables: CallTables
    private let prediction: PredictionType
    private let algorithm: SchedulerConfiguration.SolverAlgorithm
    private let usesHeun: Bool
    /// The number of views that each call uses.
    private let orders: [Int]

    init(_ run: RunSetup) throws(SamplerError) {
        var run = run
        let solver = run.configuration.solver
        // diffusers' class has no other spacing.
        if run.configuration.timestepSpacing != .discrete { run.configuration.timestepSpacing = .linspace }
        tables = try SigmaTable(run, .init(isWhole: true, smallest: .trained)).preserving
        prediction = run.configuration.predictionType
        algorithm = solver.algorithm ?? .original
        usesHeun = solver.usesHeun
        orders = Self.orders(steps: run.steps, run.configuration)
        try MultistepRule.check(algorithm, order: solver.order ?? 2, run.configuration)
        guard algorithm != .stochasticNoise else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: algorithm_type = sde-dpmsolver does not exist for dpm++2s; take sde-dpmsolver++.")
        }
    }

    /// The orders rise, over and over. The last steps are of lower order if the count does not come out even, or if the end
    /// is free of noise.
    private static func orders(steps: Int, _ configuration: SchedulerConfiguration) -> [Int] {
        let order = configuration.solver.order ?? 2
        let endsAtZero = !configuration.endsAtSmallestSigma
        let lowers = configuration.solver.lowerOrderFinal ?? false || steps % order != 0 || endsAtZero
        var orders = (0..<steps).map { $0 % order + 1 }
        if lowers, steps % order == 0 { orders[steps - 1] = 1 }
        if endsAtZero { orders[steps - 1] = 1 }
        return orders
    }

    func isStepStart(call: Int) -> Bool { orders[call] == 1 }

    func noiseMaps(call: Int) -> Int { algorithm.addsNoise ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let view = levels[call].view(ofOriginal: algorithm.isOfOriginal, prediction)
        history.remember(view(sample, modelOutput), limit: 3)
        let order = min(orders[call], history.outputs.count)
        if order == 1 { history.sample = sample }
        let first = call - order + 1
        let step = DPMCoefficients(algorithm, from: levels[first], to: levels[call + 1])
        let weights = weights(step, first: first, order: order)
        return combination(
            [(step.sample, history.sample ?? sample)] + weighted(history.outputs.suffix(order), by: weights)
                + noise.map { (step.noise, $0) })
    }

    /// The shares of the views, beginning with the step's first.
    private func weights(_ step: DPMCoefficients, first: Int, order: Int) -> [Double] {
        guard order > 1 else { return [step.value] }
        let start = levels[first].logSNR
        let h = levels[first + order].logSNR - start
        let near = (levels[first + 1].logSNR - start) / h
        guard order > 2 else {
            let slope = step.first(heun: usesHeun) / near
            return [step.value - slope, slope]
        }
        let far = (levels[first + 2].logSNR - start) / h
        guard usesHeun else {
            // Only the widest slope counts.
            let slope = step.first(heun: true) / far
            return [step.value - slope, 0, slope]
        }
        let (narrow, wide) = ([-1 / near, 1 / near, 0], [-1 / far, 0, 1 / far])
        let (slope, curve) = (step.first(heun: true), step.second)
        return (0..<3).map { index in
            (index == 0 ? step.value : 0) + slope * (far * narrow[index] - near * wide[index]) / (far - near)
                + curve * 2 * (wide[index] - narrow[index]) / (far - near)
        }
    }
}
