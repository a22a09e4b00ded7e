extension SchedulerConfiguration {
    /// Refuses a method that does not fit the model.
    ///
    /// - Parameter isChosen: whether the user chose the method. If not, the model contradicts itself.
    func checkFit(_ method: SamplingMethod, isChosen: Bool) throws(SamplerError) {
        if ownMethod.isEDM, !method.isEDM {
            throw SamplerError(
                .badRequest,
                "The sampler \(method.rawValue) does not fit this model, which was trained with EDM's preconditioning: choose "
                    + "edm_euler or edm_dpm++2m.")
        }
        if method.isEDM, !ownMethod.isEDM {
            throw SamplerError(
                .badRequest,
                "The sampler \(method.rawValue) is for models trained with EDM's preconditioning, which this one is not: choose euler or "
                    + "dpm++2m.")
        }
        let choose = isChosen ? "choose" : "choose another sampling method:"
        let traits = method.traits
        if rescalesToZeroSNR, !traits.allowsZeroSNR {
            throw SamplerError(
                isChosen ? .badRequest : .unsupported,
                "The sampler \(method.rawValue) has no way to start at pure noise, as this model's schedule does (rescale_betas_zero_snr): "
                    + "\(choose) ddim, euler or dpm++2m.")
        }
        if thresholds, traits.isSolver || [.ddim, .ddpm, .lcm, .tcd].contains(method) {
            throw SamplerError(.unsupported, "scheduler_config.json: thresholding is not supported; set it to false.")
        }
        if traits.hasSigmas, let option = unsupportedOptions.first {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: \(option) is not supported by the sampler \(method.rawValue); \(choose) ddim.")
        }
        if traits.isSolver, let option = unsupportedSolverOptions.first {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: \(option) is not supported by the sampler \(method.rawValue); \(choose) euler.")
        }
        if traits.isSolver, let variance = solver.variance, variance.hasPrefix("learned") {
            throw SamplerError(
                .unsupported,
                "scheduler_config.json: variance_type = \(variance) is not supported; the model predicts more than noise.")
        }
    }
}

extension SamplingMethod {
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
        guard let eta else { return traits.defaultEta ?? 0 }
        guard eta >= 0, eta <= 1 else { throw SamplerError(.badRequest, "eta is \(eta) but must be from 0 to 1.") }
        guard traits.defaultEta == nil else { return eta }
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
    func rule(_ run: RunSetup) throws(SamplerError) -> any StepRule {
        switch self {
        case .ddim: try DDIMTables(run)
        case .euler: try EulerTables(run)
        case .eulerAncestral: try AncestralRule(run)
        case .heun: try TwoCallRule(.heun, run)
        case .dpm2: try TwoCallRule(.midpoint, run)
        case .dpm2Ancestral: try TwoCallRule(.ancestralMidpoint, run)
        case .dpmpp2sAncestral: try TwoCallRule(.ancestralSolver, run)
        case .dpmppSDE: try TwoCallRule(.stochastic, run)
        case .dpmpp2s: try SinglestepRule(run)
        case .dpmpp2m, .dpmpp2mSDE, .dpmpp3m: try MultistepRule(run)
        case .lcm: try LCMRule(run)
        case .tcd: try TCDRule(run)
        case .unipc: try UniPCRule(run)
        case .pndm: try PNDMRule(run)
        case .lms: try LMSRule(run)
        case .deis: try DEISRule(run)
        case .ddpm: try DDPMRule(run)
        case .edmEuler: try AncestralRule(edm: run)
        case .edmDPMpp2m: try MultistepRule(edm: run)
        }
    }
}
