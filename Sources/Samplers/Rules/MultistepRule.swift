/// DPM-Solver in several steps (Lu et al. 2022, with diffusers' choices): each call makes one step, and earlier calls of the
/// run raise its order. It serves ordinary models and models with EDM's preconditioning.
struct MultistepRule: StepRule {
    let tables: CallTables
    /// The network's view at each call.
    private let shares: [LinearShares]
    private let order: Int
    private let algorithm: SchedulerConfiguration.SolverAlgorithm
    private let usesHeun: Bool
    private let eulerAtEnd: Bool
    private let lowersOrder: Bool

    /// The rule for a model of variance-preserving noise.
    init(_ run: RunSetup) throws(SamplerError) {
        var run = run
        let (solver, prediction) = (run.configuration.solver, run.configuration.predictionType)
        if solver.usesLuLambdas, run.configuration.sigmaSpacing != .karras { run.configuration.sigmaSpacing = .lu }
        let tables = try SigmaTable(run, .init(isWhole: true, cutsCosine: true, smallest: .trained)).preserving
        let ofOriginal = solver.algorithm?.isOfOriginal ?? true
        try self.init(
            run.configuration, tables, tables.levels.dropLast().map { $0.view(ofOriginal: ofOriginal, prediction) })
    }

    /// The rule for a model with EDM's preconditioning.
    init(edm run: RunSetup) throws(SamplerError) {
        let table = try EDMTable(run, smallest: run.configuration.sigmaMin ?? EDMTable.smallest)
        try self.init(run.configuration, table.tables, table.shares)
        guard algorithm == .original || (algorithm == .stochasticOriginal && order < 3) else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: algorithm_type = \(algorithm.rawValue) of order \(order) does not exist for EDM; take dpmsolver++."
            )
        }
    }

    private init(
        _ configuration: SchedulerConfiguration, _ tables: CallTables, _ shares: [LinearShares]
    ) throws(SamplerError) {
        let solver = configuration.solver
        (self.tables, self.shares) = (tables, shares)
        order = solver.order ?? 2
        algorithm = solver.algorithm ?? .original
        usesHeun = solver.usesHeun
        lowersOrder = (solver.lowerOrderFinal ?? true) && tables.timesteps.count < 15
        eulerAtEnd = solver.eulerAtFinal || lowersOrder || !configuration.endsAtSmallestSigma
        try Self.check(algorithm, order: order, configuration)
    }

    static func check(
        _ algorithm: SchedulerConfiguration.SolverAlgorithm, order: Int, _ configuration: SchedulerConfiguration
    ) throws(SamplerError) {
        guard algorithm.isOfOriginal || configuration.endsAtSmallestSigma else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: algorithm_type = \(algorithm.rawValue) cannot end at sigma 0; set final_sigmas_type to sigma_min "
                    + "or take dpmsolver++.")
        }
        guard algorithm != .stochasticNoise || order < 3 else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: solver_order = 3 does not exist for sde-dpmsolver; take 2 or sde-dpmsolver++.")
        }
    }

    func noiseMaps(call: Int) -> Int { algorithm.addsNoise ? 1 : 0 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let views = history.remember(shares[call](sample, modelOutput), limit: order)
        let step = DPMCoefficients(algorithm, from: levels[call], to: levels[call + 1])
        let weights = weights(step, call: call, order: usableOrder(call: call, views: views.count))
        return combination([(step.sample, sample)] + weighted(views, by: weights) + noise.map { (step.noise, $0) })
    }

    /// The order that the place in the run and the views so far allow.
    private func usableOrder(call: Int, views: Int) -> Int {
        let last = timesteps.count - 1
        if call == last, eulerAtEnd { return 1 }
        var order = min(order, views)
        if call == last - 1, lowersOrder { order = min(order, 2) }
        return sigmas[call + 1] >= sigmas[call] ? 1 : tables.distinctSigmas(before: call, limit: order)
    }

    /// The shares of the newest view, of the view before it, and so on.
    private func weights(_ step: DPMCoefficients, call: Int, order: Int) -> [Double] {
        guard order > 1 else { return [step.value] }
        let h = levels[call + 1].logSNR - levels[call].logSNR
        let near = (levels[call].logSNR - levels[call - 1].logSNR) / h
        guard order > 2 else {
            let slope = step.first(heun: usesHeun) / near
            return [step.value + slope, -slope]
        }
        let far = (levels[call - 1].logSNR - levels[call - 2].logSNR) / h
        // Divided differences: the slope between the newest two, the slope between the two before, and the change of the
        // slope.
        let (newer, older) = ([1 / near, -1 / near, 0], [0, 1 / far, -1 / far])
        let (first, second) = (step.first(heun: true), step.second)
        return (0..<3).map { index in
            let change = (newer[index] - older[index]) / (near + far)
            return (index == 0 ? step.value : 0) + first * (newer[index] + near * change) + second * change
        }
    }
}
