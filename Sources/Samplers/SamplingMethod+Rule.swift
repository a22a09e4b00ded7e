extension SchedulerConfiguration {
    /// Refuses a method that does not fit the model.
    ///
    /// - Parameter isChosen: whether the user chose the method. If not, the model contradicts itself.
    func checkFit(_ method: SamplingMethod, isChosen: Bool) throws(SamplerError) {
        if ownMethod.isEDM, !method.isEDM {
            throw SamplerError(
                .badRequest,
                "The sampler \(method.rawValue) does not fit this model, which was trained with EDM's preconditioning: choose edm_euler or "
                    + "edm_dpm++2m.")
        }
        if method.isEDM, !ownMethod.isEDM {
            throw SamplerError(
                .badRequest,
                "The sampler \(method.rawValue) is for models trained with EDM's preconditioning, which this one is not: choose euler or "
                    + "dpm++2m.")
        }
        let choose = isChosen ? "choose" : "choose another sampling method:"
        if rescalesToZeroSNR, !method.allowsZeroSNR {
            throw SamplerError(
                isChosen ? .badRequest : .unsupported,
                "The sampler \(method.rawValue) has no way to start at pure noise, as this model's schedule does (rescale_betas_zero_snr): "
                    + "\(choose) ddim, euler or dpm++2m.")
        }
        if thresholds, method.knowsThresholding {
            throw SamplerError(.unsupported, "scheduler_config.json: thresholding is not supported; set it to false.")
        }
        if method.hasSigmas, let option = unsupportedOptions.first {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: \(option) is not supported by the sampler \(method.rawValue); \(choose) ddim.")
        }
        if method.isSolver, let option = unsupportedSolverOptions.first {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: \(option) is not supported by the sampler \(method.rawValue); \(choose) euler.")
        }
        if method.isSolver, let variance = solver.variance, variance.hasPrefix("learned") {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: variance_type = \(variance) is not supported; the model predicts more than noise.")
        }
    }
}

extension SamplingMethod {
    /// Whether the method is a variant of DPM-Solver.
    fileprivate var isSolver: Bool {
        switch self {
        case .dpmpp2s, .dpmpp2m, .dpmpp2mSDE, .dpmpp3m, .unipc, .deis, .edmDPMpp2m: true
        case .euler, .eulerAncestral, .heun, .dpm2, .dpm2Ancestral, .dpmpp2sAncestral, .dpmppSDE, .lcm, .ddim, .tcd, .pndm,
            .lms, .ddpm, .edmEuler:
            false
        }
    }

    fileprivate var knowsThresholding: Bool { isSolver || self == .ddim || self == .ddpm || self == .lcm || self == .tcd }

    /// Refuses a schedule that has no meaning for this method.
    func check(_ kind: NoiseScheduleKind) throws(SamplerError) {
        let (allowed, reason): ([NoiseScheduleKind], String) =
            switch self {
            case .lcm, .tcd: ([], "has the timesteps it was distilled for")
            case .ddim, .ddpm, .pndm: ([.discrete, .leading, .linspace, .trailing], "works on timesteps and has no sigmas")
            case .edmEuler, .edmDPMpp2m: ([.karras, .exponential], "works on sigmas that belong to no timesteps")
            case .dpmpp2s:
                ([.discrete, .karras, .exponential, .sgmUniform, .linspace], "goes from the last training step to the first")
            case .euler, .eulerAncestral, .heun, .dpm2, .dpm2Ancestral, .dpmpp2sAncestral, .dpmpp2m, .dpmpp2mSDE, .dpmpp3m,
                .dpmppSDE, .unipc, .lms, .deis:
                (NoiseScheduleKind.allCases, "")
            }
        guard !allowed.contains(kind) else { return }
        let cure =
            allowed.isEmpty
            ? "leave the schedule out"
            : "choose " + allowed.map(\.rawValue).joined(separator: ", ") + ", or leave the schedule out"
        throw SamplerError(
            .badRequest, "The schedule \(kind.rawValue) has no meaning for the sampler \(rawValue), which \(reason): \(cure).")
    }

    /// The share of fresh noise: the requested one, or the method's default.
    func checked(eta: Double?) throws(SamplerError) -> Double {
        guard let eta else { return defaultEta ?? 0 }
        guard eta >= 0, eta <= 1 else { throw SamplerError(.badRequest, "eta is \(eta) but must be from 0 to 1.") }
        guard defaultEta == nil else { return eta }
        if [.ddpm, .lcm, .dpmpp2mSDE].contains(self) {
            throw SamplerError(
                .badRequest, "eta is \(eta), but the noise of the sampler \(rawValue) is fixed: leave eta out or choose ddim.")
        }
        guard eta == 0 else {
            throw SamplerError(
                .badRequest, "eta is \(eta), but the sampler \(rawValue) adds no noise: leave eta 0 or choose ddim.")
        }
        return 0
    }

    /// The method's tables and formula.
    func rule(
        _ configuration: SchedulerConfiguration, noiseSchedule: NoiseSchedule, steps: Int, eta: Double
    ) throws(SamplerError) -> any StepRule {
        func twoCalls(_ kind: TwoCallRule.Kind) throws(SamplerError) -> TwoCallRule {
            try TwoCallRule(kind, configuration, noiseSchedule: noiseSchedule, steps: steps, eta: eta)
        }
        switch self {
        case .ddim: return try DDIMTables(configuration, noiseSchedule: noiseSchedule, steps: steps, eta: eta)
        case .euler: return try EulerTables(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .eulerAncestral: return try AncestralRule(configuration, noiseSchedule: noiseSchedule, steps: steps, eta: eta)
        case .heun: return try twoCalls(.heun)
        case .dpm2: return try twoCalls(.midpoint)
        case .dpm2Ancestral: return try twoCalls(.ancestralMidpoint)
        case .dpmpp2sAncestral: return try twoCalls(.ancestralSolver)
        case .dpmppSDE: return try twoCalls(.stochastic)
        case .dpmpp2s: return try SinglestepRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .dpmpp2m, .dpmpp2mSDE, .dpmpp3m:
            return try MultistepRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .lcm: return try LCMRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .tcd: return try TCDRule(configuration, noiseSchedule: noiseSchedule, steps: steps, eta: eta)
        case .unipc: return try UniPCRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .pndm: return try PNDMRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .lms: return try LMSRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .deis: return try DEISRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .ddpm: return try DDPMRule(configuration, noiseSchedule: noiseSchedule, steps: steps)
        case .edmEuler: return try EDMEulerRule(configuration, steps: steps)
        case .edmDPMpp2m: return try MultistepRule(edm: configuration, steps: steps)
        }
    }
}
