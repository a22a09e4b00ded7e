import Foundation

/// DPM-Solver in several steps (Lu et al. 2022, with diffusers' choices): each call makes one step, and earlier calls of the
/// run raise its order. For ordinary models and for models with EDM's preconditioning.
struct MultistepRule: StepRule {
    let timesteps: [Double]
    let sigmas: [Float]
    let initialNoiseScale: Float
    private let levels: [NoiseLevel]
    private let shares: [LinearShares]
    private let order: Int
    private let algorithm: SchedulerConfiguration.SolverAlgorithm
    private let usesHeun: Bool
    private let eulerAtEnd: Bool
    private let lowersOrder: Bool
    private let inputScales: [Float]?

    /// The rule for a model of variance-preserving noise.
    init(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int
    ) throws(SamplerError) {
        var options = configuration
        if options.solver.usesLuLambdas, options.sigmaSpacing != .karras { options.sigmaSpacing = .lu }
        let final: SigmaTable.Final = options.endsAtSmallestSigma ? .smallestTrained : .zero
        let table = try SigmaTable(
            options, noiseSchedule: noiseSchedule, steps: steps, .init(isWhole: true, cutsCosine: true, final: final))
        let levels = table.sigmas.map { NoiseLevel(preserving: $0) }
        try self.init(
            configuration, timesteps: table.timesteps, sigmas: table.sigmas, levels: levels, initialNoiseScale: 1,
            inputScales: nil
        ) { level, _ in
            configuration.solver.algorithm?.isOfOriginal ?? true
                ? level.original(configuration.predictionType) : level.epsilon(configuration.predictionType)
        }
    }

    /// The rule for a model with EDM's preconditioning.
    init(edm configuration: SchedulerConfiguration, steps: Int) throws(SamplerError) {
        let table = try EDMTable(configuration, steps: steps, smallest: configuration.sigmaMin ?? EDMTable.smallest)
        try self.init(
            configuration, timesteps: table.timesteps, sigmas: table.sigmas,
            levels: table.sigmas.map { NoiseLevel(exploding: $0) }, initialNoiseScale: table.initialNoiseScale,
            inputScales: table.inputScales
        ) { _, call in table.shares[call] }
        guard algorithm == .original || (algorithm == .stochasticOriginal && order < 3) else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: algorithm_type = \(algorithm.rawValue) of order \(order) does not exist for EDM; take dpmsolver++."
            )
        }
    }

    private init(
        _ configuration: SchedulerConfiguration, timesteps: [Double], sigmas: [Float], levels: [NoiseLevel],
        initialNoiseScale: Float, inputScales: [Float]?, shares: (NoiseLevel, Int) -> LinearShares
    ) throws(SamplerError) {
        let solver = configuration.solver
        (self.timesteps, self.sigmas, self.levels) = (timesteps, sigmas, levels)
        (self.initialNoiseScale, self.inputScales) = (initialNoiseScale, inputScales)
        self.shares = timesteps.indices.map { shares(levels[$0], $0) }
        order = solver.order ?? 2
        algorithm = solver.algorithm ?? .original
        usesHeun = solver.usesHeun
        lowersOrder = (solver.lowerOrderFinal ?? true) && timesteps.count < 15
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

    func scaleInput(_ sample: [Float], call: Int) -> [Float] {
        guard let inputScales else { return sample }
        return sample.map { $0 * inputScales[call] }
    }

    func mixture(call: Int) -> (signal: Float, noise: Float) { (Float(levels[call].signal), Float(levels[call].noise)) }

    func step(
        modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory
    ) -> [Float] {
        history.remember(shares[call](sample, modelOutput), limit: order)
        let views = Array(history.outputs.reversed())
        let weights = weights(call: call, order: usableOrder(call: call, views: views.count))
        let step = DPMCoefficients(algorithm, from: levels[call], to: levels[call + 1])
        var terms: [(share: Double, values: [Float])] = [(step.sample, sample)]
        for (weight, view) in zip(weights, views) { terms.append((weight, view)) }
        if let noise = noise.first { terms.append((step.noise, noise)) }
        return combination(terms)
    }

    /// The order that the place in the run and the views so far allow. A step of no length gives no derivative. Many steps
    /// can bring about such a step: two equal sigmas.
    private func usableOrder(call: Int, views: Int) -> Int {
        let last = timesteps.count - 1
        if call == last, eulerAtEnd { return 1 }
        var order = min(order, views)
        if call == last - 1, lowersOrder { order = min(order, 2) }
        for back in 1..<max(order, 1) where sigmas[call - back] <= sigmas[call - back + 1] { return back }
        return sigmas[call + 1] >= sigmas[call] ? 1 : order
    }

    /// The shares of the newest view, of the view before it, and so on.
    private func weights(call: Int, order: Int) -> [Double] {
        let step = DPMCoefficients(algorithm, from: levels[call], to: levels[call + 1])
        guard order > 1 else { return [step.value] }
        func logSNR(_ call: Int) -> Double { log(levels[call].signal / levels[call].noise) }
        let h = logSNR(call + 1) - logSNR(call)
        let near = (logSNR(call) - logSNR(call - 1)) / h
        guard order > 2 else {
            let slope = step.first(heun: usesHeun) / near
            return [step.value + slope, -slope]
        }
        let far = (logSNR(call - 1) - logSNR(call - 2)) / h
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
