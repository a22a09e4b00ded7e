import Foundation

/// Methods on sigmas with two calls in each step: one at its start and one at a second place. The second call's output then
/// moves the sample the whole step from its start. The last step, to sigma zero, is Euler's and has one call.
struct TwoCallRule: StepRule {
    enum Kind: Sendable {
        /// The second call is at the end of the step; the mean of both derivatives counts.
        case heun
        /// The second call is in the middle of the logarithm.
        case midpoint
        /// `midpoint` with fresh noise at the end of the step.
        case ancestralMidpoint
        /// `ancestralMidpoint` in the logarithm of sigma. With noise-free views it comes to the same step (DPM-Solver++ 2S
        /// ancestral).
        case ancestralSolver
        /// A stochastic equation: fresh noise in the middle and at the end, both from one Brownian path (DPM-Solver++ SDE).
        case stochastic
    }

    /// One step of two calls.
    private struct Step: Sendable {
        /// The way of the first call, and the noise it adds.
        var first: AncestralStep
        /// The noise level of the second call.
        var look: Double
        /// The way of the second call from the step's start, and the noise it adds.
        var second: AncestralStep
    }

    let tables: CallTables
    private let kind: Kind
    /// The noise level at the start of each step, and after the last.
    private let starts: [Double]
    private let steps: [Step]
    private let prediction: PredictionType
    private let clip: Float?

    init(_ kind: Kind, _ run: RunSetup) throws(SamplerError) {
        let rounds = kind == .midpoint || kind == .ancestralMidpoint
        let table = try SigmaTable(run, .init(isWhole: false, roundsBent: rounds))
        self.kind = kind
        prediction = run.configuration.predictionType
        clip = kind == .heun ? run.configuration.clip(byDefault: false) : nil
        let starts = table.sigmas.map { Double($0) }
        let steps = (0..<(run.steps - 1)).map { Self.step(kind, from: starts[$0], to: starts[$0 + 1], eta: run.eta) }
        (self.starts, self.steps) = (starts, steps)
        let logarithms = run.noiseSchedule.sigmas.map { log($0) }
        var times = [table.timesteps[0]]
        for (index, step) in steps.enumerated() {
            let look = SigmaTable.timestep(ofSigma: step.look, logarithms: logarithms)
            times += [kind == .heun ? table.timesteps[index + 1] : look, table.timesteps[index + 1]]
        }
        tables = CallTables(
            timesteps: times, sigmas: Self.published(table.sigmas, kind), initialNoiseScale: table.initialNoiseScale,
            levels: times.indices.map { NoiseLevel(exploding: Float($0 % 2 == 0 ? starts[$0 / 2] : steps[$0 / 2].look)) },
            inputScaling: .unitVariance)
    }

    /// diffusers repeats the sigmas of both calls. If the second call lies inside the step, diffusers has one more at either
    /// end.
    private static func published(_ sigmas: [Float], _ kind: Kind) -> [Float] {
        let inner = sigmas.dropFirst().dropLast().flatMap { [$0, $0] }
        let end = sigmas[sigmas.count - 1]
        return [sigmas[0]] + inner + (kind == .midpoint || kind == .ancestralMidpoint ? [end, end, end] : [end])
    }

    private static func step(_ kind: Kind, from sigma: Double, to next: Double, eta: Double) -> Step {
        let plain = AncestralStep(from: sigma, to: next, eta: 0)
        let parts = AncestralStep(from: sigma, to: next, eta: eta)
        switch kind {
        case .heun: return Step(first: plain, look: next, second: plain)
        case .midpoint:
            let middle = (sigma * next).squareRoot()
            return Step(first: AncestralStep(from: sigma, to: middle, eta: 0), look: middle, second: plain)
        case .ancestralMidpoint, .ancestralSolver:
            let middle = (sigma * parts.down).squareRoot()
            return Step(first: AncestralStep(from: sigma, to: middle, eta: 0), look: middle, second: parts)
        case .stochastic:
            let middle = (sigma * next).squareRoot()
            return Step(first: AncestralStep(from: sigma, to: middle, eta: eta), look: middle, second: parts)
        }
    }

    func firstCall(afterSteps steps: Int) -> Int { 2 * steps }

    func isStepStart(call: Int) -> Bool { call % 2 == 0 }

    func noiseMaps(call: Int) -> Int {
        switch kind {
        case .heun, .midpoint: 0
        case .ancestralMidpoint, .ancestralSolver: call % 2
        case .stochastic: call / 2 < steps.count ? 1 : 0
        }
    }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let shares = NoiseLevel.original(prediction, sigma: Float(levels[call].noise))
        let original = clamped(shares(sample, modelOutput), to: clip)
        let (start, index) = (starts[call / 2], call / 2)
        guard index < steps.count else {
            let kept = starts[index + 1] / start
            return combination([(kept, sample), (1 - kept, original)])
        }
        let step = steps[index]
        guard call % 2 == 1, let begin = history.sample else {
            history.sample = sample
            history.outputs = kind == .heun ? [original] : noise
            let kept = step.first.down / start
            return combination([(kept, sample), (1 - kept, original)] + noise.map { (step.first.up, $0) })
        }
        let before = history.outputs
        (history.sample, history.outputs) = (nil, [])
        return second(index, from: begin, looked: (sample, original), before: before, noise)
    }

    /// The whole step from its start `begin`, with the second call's view `looked`.
    private func second(
        _ index: Int, from begin: [Float], looked: (sample: [Float], original: [Float]), before: [[Float]], _ noise: [[Float]]
    ) -> [Float] {
        let (step, start, next) = (steps[index], starts[index], starts[index + 1])
        switch kind {
        case .heun:
            let half = (next - start) / 2
            return combination([
                (1 + half / start, begin), (half / step.look, looked.sample), (-half / step.look, looked.original),
                (-half / start, before.first ?? looked.original),
            ])
        case .midpoint, .ancestralMidpoint:
            let slope = (step.second.down - start) / step.look
            return combination(
                [(1, begin), (slope, looked.sample), (-slope, looked.original)] + noise.map { (step.second.up, $0) })
        case .ancestralSolver, .stochastic:
            let kept = step.second.down / start
            var terms: [(share: Double, values: [Float])] = [(kept, begin), (1 - kept, looked.original)]
            // The path's increment over the whole step: the part before the second call and the part after it.
            let (early, late) = kind == .stochastic ? (start - step.look, step.look - next) : (0, 1)
            // A step between equal levels has no increment.
            for (increment, map) in [(early, before.first), (late, noise.first)] where early + late > 0 {
                if let map { terms.append((step.second.up * (increment / (early + late)).squareRoot(), map)) }
            }
            return combination(terms)
        }
    }
}
