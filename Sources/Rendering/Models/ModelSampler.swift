import Samplers

extension ModelDescription {
    /// Throws as a request does that leaves the sampler and its steps to the model: a scheduler that is read may still ask for
    /// what no sampler of this program does.
    public func checkOwnSampler() throws(RenderError) {
        _ = try sampler(nil, noiseSchedule: .automatic, steps: usualSteps(nil, noiseSchedule: .automatic), eta: nil)
    }

    /// The steps of a request that leaves them open: as many as suit the model, or fewer if its noise schedule allows no more.
    ///
    /// - Parameter method: nil takes the model's own scheduler.
    func usualSteps(_ method: SamplingMethod?, noiseSchedule: NoiseScheduleKind) -> Int {
        let usual = recommended.steps
        // Where the configuration is at fault, whatever the number, the sampler's own error is to say so.
        var faulty: Int?
        let allowed = (1...usual).reversed().first { steps in
            do throws(SamplerError) {
                _ = try Sampler(scheduler, method: method, noiseSchedule: noiseSchedule, steps: steps)
                return true
            } catch {
                if error.code == .badConfiguration { faulty = faulty ?? steps }
                return error.code == .unsupported
            }
        }
        return allowed ?? faulty ?? usual
    }

    /// The sampler of a request.
    ///
    /// - Parameter method: nil takes the model's own scheduler.
    /// - Throws: `.badModel` for what is wrong with the model's own scheduler, `.invalidRequest` for what the user chose.
    func sampler(
        _ method: SamplingMethod?, noiseSchedule: NoiseScheduleKind, steps: Int, eta: Double?
    ) throws(RenderError) -> Sampler {
        do {
            return try Sampler(scheduler, method: method, noiseSchedule: noiseSchedule, steps: steps, eta: eta)
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
