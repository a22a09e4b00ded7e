/// Pseudo numerical methods (Liu et al. 2022, diffusers' PNDMScheduler): the rule extrapolates the noise linearly from the
/// last calls. The first steps are Runge-Kutta's, with four calls each. With `skip_prk_steps` they are Heun's, with two
/// calls; this form is known as PLMS.
struct PNDMRule: StepRule {
    let tables: CallTables
    private let alphas: [Float]
    private let finalAlpha: Float
    private let prediction: PredictionType
    /// Calls of the Runge-Kutta start.
    private let startCalls: Int
    /// Training steps between two steps.
    private let stride: Int

    init(_ run: RunSetup) throws(SamplerError) {
        let (configuration, steps) = (run.configuration, run.steps)
        guard configuration.predictionType != .sample else {
            throw SamplerError(.unsupported, "scheduler_config.json: prediction_type = sample does not exist for PNDM.")
        }
        let skips = configuration.solver.skipsRungeKutta ?? (SamplingMethod(className: configuration.className) != .pndm)
        guard skips || steps >= 4 else {
            throw SamplerError(
                .badRequest,
                "\(steps) steps cannot be done: PNDM with a Runge-Kutta start (skip_prk_steps = false) needs 4 or more.")
        }
        let times = try run.wholeTimesteps()
        stride = configuration.trainSteps / steps
        alphas = run.noiseSchedule.alphasCumprod
        finalAlpha = configuration.setsAlphaToOne ?? false ? 1 : alphas[0]
        prediction = configuration.predictionType
        let calls = skips ? Self.plain(times) : Self.rungeKutta(times, half: stride / 2)
        startCalls = skips ? 0 : 12
        guard calls.allSatisfy(alphas.indices.contains) else {
            throw SamplerError(
                .badRequest, "\(steps) steps go beyond the \(alphas.count) training steps: take fewer steps.")
        }
        tables = try run.tables(calls, level: NoiseLevel.init(roundedProduct:))
    }

    /// The second step's timestep appears twice.
    private static func plain(_ times: [Int]) -> [Int] {
        times.count < 2 ? times : [times[0], times[1]] + times[1...]
    }

    /// Three steps of four calls: at the start, twice in the middle, and at the end. The rest follows from the fourth step
    /// on.
    private static func rungeKutta(_ times: [Int], half: Int) -> [Int] {
        var calls: [Int] = []
        for step in 0..<3 {
            let (start, end) = (times[step], times[step + 1])
            calls += [start, end + half, end + half, end]
        }
        return calls + times[3...]
    }

    func isStepStart(call: Int) -> Bool { call < startCalls ? call % 4 == 0 : startCalls > 0 || call != 1 }

    func firstCall(afterSteps steps: Int) -> Int { steps * 3 < startCalls ? steps * 4 : steps + startCalls * 3 / 4 }

    func step(modelOutput: [Float], call: Int, sample: [Float], noise: [[Float]], history: inout SamplerHistory) -> [Float] {
        call < startCalls
            ? rungeKuttaStep(modelOutput, call, sample, &history) : multistep(modelOutput, call, sample, &history)
    }

    private func rungeKuttaStep(
        _ output: [Float], _ call: Int, _ sample: [Float], _ history: inout SamplerHistory
    ) -> [Float] {
        let part = call % 4
        let target = Int(timesteps[call]) - (part % 2 == 0 ? stride / 2 : 0)
        if part == 0 {
            history.remember(output, limit: 4)
            (history.sample, history.sum) = (sample, combination([(1.0 / 6, output)]))
        } else {
            history.sum = combination([(1, history.sum ?? output), (part == 3 ? 1.0 / 6 : 1.0 / 3, output)])
        }
        let used = part == 3 ? history.sum ?? output : output
        let from = Int(timesteps[max(0, call - part)])
        return moved(history.sample ?? sample, used, from: from, to: target)
    }

    private func multistep(
        _ output: [Float], _ call: Int, _ sample: [Float], _ history: inout SamplerHistory
    ) -> [Float] {
        var (from, target) = (Int(timesteps[call]), Int(timesteps[call]) - stride)
        // Like diffusers, this takes the second call of a run for Heun's second call, wherever the run begins.
        guard startCalls > 0 || history.calls != 1 else {
            // Repeats the first step with the mean of the noise at both its ends.
            (from, target) = (from + stride, from)
            let mean = combination([(0.5, output), (0.5, history.outputs.last ?? output)])
            let begin = history.sample ?? sample
            history.sample = nil
            return moved(begin, mean, from: min(from, alphas.count - 1), to: target)
        }
        let views = history.remember(output, limit: 4)
        if history.calls == 0 { history.sample = sample }
        let weights: [Double] =
            switch views.count {
            case 1: [1]
            case 2: [3.0 / 2, -1.0 / 2]
            case 3: [23.0 / 12, -16.0 / 12, 5.0 / 12]
            default: [55.0 / 24, -59.0 / 24, 37.0 / 24, -9.0 / 24]
            }
        return moved(sample, combination(weighted(views, by: weights)), from: from, to: target)
    }

    /// DDIM's step in the form of the paper's formula 9, from one training step to another. Beyond the first training step
    /// the final level holds.
    private func moved(_ sample: [Float], _ output: [Float], from: Int, to target: Int) -> [Float] {
        let (now, after) = (Double(alphas[from]), Double(target >= 0 ? alphas[target] : finalAlpha))
        let divisor = now * (1 - after).squareRoot() + (now * (1 - now) * after).squareRoot()
        let noise = (now - after) / divisor
        let kept = (after / now).squareRoot()
        guard prediction == .velocity else { return combination([(kept, sample), (noise, output)]) }
        return combination([
            (kept + noise * (1 - now).squareRoot(), sample), (noise * now.squareRoot(), output),
        ])
    }
}
