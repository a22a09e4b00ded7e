import Samplers

extension ModelDescription {
    /// Throws as a request does that leaves the sampler and its steps to the model: a scheduler that is read may still ask for
    /// what no sampler of this program does.
    public func checkOwnSampler() throws(RenderError) {
        _ = try sampler(nil, schedule: .automatic, steps: ownSteps, eta: nil)
    }

    /// Steps of the model's own sampler where nobody says them: what suits the model, or as many as its schedule allows.
    var ownSteps: Int {
        let usual = recommended.steps
        let allowed = (1...usual).reversed().first { steps in
            do throws(SamplerError) { _ = try Sampler(scheduler, steps: steps) } catch { return error.code != .badRequest }
            return true
        }
        return allowed ?? usual
    }

    /// The sampler of a request.
    ///
    /// - Parameter method: nil takes the model's own scheduler.
    /// - Throws: `.badModel` for what is wrong with the model's own scheduler, `.invalidRequest` for what the user chose.
    func sampler(
        _ method: SamplingMethod?, schedule: NoiseScheduleKind, steps: Int, eta: Double?
    ) throws(RenderError) -> Sampler {
        do {
            return try Sampler(scheduler, method: method, schedule: schedule, steps: steps, eta: eta)
        } catch {
            let isModels =
                switch error.code {
                case .badConfiguration: true
                case .unsupported: method == nil
                case .badRequest: false
                }
            guard isModels else { throw RenderError(.invalidRequest, error.message) }
            throw RenderError(.badModel, "\(name): \(error.message)")
        }
    }
}
