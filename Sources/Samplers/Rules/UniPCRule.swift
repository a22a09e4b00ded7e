import Foundation

/// UniPC (Zhao et al. 2023): each call first corrects the last step with the view at its end, then predicts the next step.
struct UniPCRule: StepRule {
    let tables: CallTables
    private let prediction: PredictionType
    private let order: Int
    private let lowersOrder: Bool
    private let predictsOriginal: Bool
    private let usesPlainStep: Bool
    private let uncorrected: Set<Int>

    init(_ run: RunSetup) throws(SamplerError) {
        let (solver, endsAtZero) = (run.configuration.solver, !run.configuration.endsAtSmallestSigma)
        tables = try SigmaTable(run, .init(isWhole: true, smallest: .ofRun)).preserving
        prediction = run.configuration.predictionType
        order = solver.order ?? 2
        lowersOrder = solver.lowerOrderFinal ?? true
        predictsOriginal = solver.predictsOriginal
        usesPlainStep = solver.usesPlainStep
        uncorrected = Set(solver.uncorrectedSteps)
        guard predictsOriginal || !endsAtZero else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: predict_x0 = false cannot end at sigma 0; set final_sigmas_type to sigma_min or predict_x0 to true."
            )
        }
        guard lowersOrder || !endsAtZero else {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: lower_order_final = false cannot end at sigma 0; set it to true or final_sigmas_type to sigma_min."
            )
        }
    }

    /// The order of the step that begins at `call`, after `made` calls of the run.
    private func order(call: Int, made: Int) -> Int {
        let most = lowersOrder ? min(order, timesteps.count - call) : order
        let usable = min(most, min(made, order) + 1)
        return sigmas[call + 1] >= sigmas[call] ? 1 : tables.distinctSigmas(before: call, limit: usable)
    }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        let view = levels[call].view(ofOriginal: predictsOriginal, prediction)(sample, modelOutput)
        var sample = sample
        if let start = history.sample, history.calls > 0, !uncorrected.contains(call - 1), sigmas[call] < sigmas[call - 1] {
            sample = moved(
                start, from: call - 1, views: history.outputs.reversed(), end: view,
                order: order(call: call - 1, made: history.calls - 1))
        }
        let views = history.remember(view, limit: max(order, 1))
        history.sample = sample
        return moved(sample, from: call, views: views, end: nil, order: order(call: call, made: history.calls))
    }

    /// The step that begins at the call `start`, from the views there and before, newest first. With the view at its end this
    /// is the corrector, without it the predictor.
    private func moved(_ sample: [Float], from start: Int, views: [[Float]], end: [Float]?, order: Int) -> [Float] {
        let (a, b) = (levels[start], levels[start + 1])
        let growth = b.logSNR - a.logSNR
        let h = predictsOriginal ? -growth : growth
        let scale = predictsOriginal ? b.signal : b.noise
        let nodes = (1..<max(order, 1)).map { (levels[start - $0].logSNR - a.logSNR) / growth }
        let weights = Self.weights(nodes: nodes, h: h, usesPlainStep: usesPlainStep, corrects: end != nil)
        var own = -scale * expm1(h)
        var terms: [(share: Double, values: [Float])] = [
            (predictsOriginal ? b.noise / a.noise : b.signal / a.signal, sample)
        ]
        for (index, node) in nodes.enumerated() {
            let share = -scale * weights[index] / node
            terms.append((share, views[index + 1]))
            own -= share
        }
        if let end, let weight = weights.last {
            terms.append((-scale * weight, end))
            own += scale * weight
        }
        terms.append((own, views[0]))
        return combination(terms)
    }

    /// The weights, times B(h), of the differences to the views at `nodes` (in steps, from the start; negative). The
    /// corrector has one more weight, for the view at the end.
    private static func weights(nodes: [Double], h: Double, usesPlainStep: Bool, corrects: Bool) -> [Double] {
        let base = usesPlainStep ? h : expm1(h)
        // The method's authors use these numbers instead of the solutions.
        if corrects, nodes.isEmpty { return [0.5 * base] }
        if !corrects, nodes.count <= 1 { return nodes.map { _ in 0.5 * base } }
        let places = corrects ? nodes + [1] : nodes
        // Row i: the sum of the weights times the places to the power i equals the scaled integral φ.
        var (integral, factorial) = (expm1(h) / h - 1, 1.0)
        var rows: [[Double]] = []
        for power in places.indices {
            rows.append(places.map { pow($0, Double(power)) } + [integral * factorial])
            factorial *= Double(power + 2)
            integral = integral / h - 1 / factorial
        }
        return solved(rows)
    }

    /// Solves linear equations by elimination. Each row holds the coefficients and the right-hand side. The rows are few and
    /// regular.
    private static func solved(_ equations: [[Double]]) -> [Double] {
        var rows = equations
        let count = rows.count
        for column in 0..<count {
            let best = (column..<count).max { abs(rows[$0][column]) < abs(rows[$1][column]) } ?? column
            rows.swapAt(column, best)
            for row in 0..<count where row != column {
                let factor = rows[row][column] / rows[column][column]
                for index in column...count { rows[row][index] -= factor * rows[column][index] }
            }
        }
        return (0..<count).map { rows[$0][count] / rows[$0][$0] }
    }
}
