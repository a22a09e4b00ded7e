import Samplers
import Sentences

extension ModelDescription {
    /// Throws the errors of a request that leaves sampler and steps to the model. A scheduler with a valid configuration may
    /// still ask for something that no sampler supports.
    public func checkOwnSampler() throws(RenderError) {
        _ = try sampler(nil, noiseSchedule: .automatic, steps: usualSteps(nil, noiseSchedule: .automatic), eta: nil)
    }

    /// The steps of a request that leaves them open: the recommended number, or fewer if the noise schedule allows no more.
    ///
    /// - Parameter method: nil takes the model's own scheduler.
    func usualSteps(_ method: SamplingMethod?, noiseSchedule: NoiseScheduleKind) -> Int {
        let usual = recommended.steps
        // If the configuration is at fault, the sampler should report that.
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
    /// - Parameters:
    ///   - method: nil takes the model's own scheduler.
    ///   - stepsSetting: the setting that gives the steps.
    /// - Throws: `.badModel` if the model's own scheduler is at fault, `.invalidRequest` if the user's choice is.
    func sampler(
        _ method: SamplingMethod?, noiseSchedule: NoiseScheduleKind, steps: Int, eta: Double?,
        stepsSetting: Setting = .steps
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
            guard !isModels else { throw .badModel("\(name): \(error.message)") }
            func works(_ noiseSchedule: NoiseScheduleKind, _ steps: Int, _ eta: Double?) -> Bool {
                (try? Sampler(scheduler, method: method, noiseSchedule: noiseSchedule, steps: steps, eta: eta)) != nil
            }
            // At fault is the setting without which the others are possible.
            let fault: Setting =
                if eta != nil, works(noiseSchedule, steps, nil) {
                    .eta
                } else if noiseSchedule != .automatic,
                    works(.automatic, steps, eta)
                { .scheduler } else if works(noiseSchedule, usualSteps(method, noiseSchedule: noiseSchedule), eta) {
                    stepsSetting
                } else if method != nil { .samplingMethod } else if eta != nil { .eta } else { .scheduler }
            throw .invalidRequest(Sentence(error.message), about: fault)
        }
    }
}
