/// The sampling methods. Each has its name in stable-diffusion.cpp or diffusers.
public enum SamplingMethod: String, Sendable, CaseIterable {
    /// Euler's method on sigmas (Karras et al. 2022): diffusers' EulerDiscreteScheduler without churn.
    case euler
    /// Euler's method with fresh noise in every step: EulerAncestralDiscreteScheduler.
    case eulerAncestral = "euler_a"
    /// Heun's method, two calls a step: HeunDiscreteScheduler.
    case heun
    /// DPM-Solver-2 after Karras et al., two calls a step: KDPM2DiscreteScheduler.
    case dpm2
    /// `dpm2` with fresh noise: KDPM2AncestralDiscreteScheduler.
    case dpm2Ancestral = "dpm2_a"
    /// DPM-Solver++ in single steps of rising order: DPMSolverSinglestepScheduler.
    case dpmpp2s = "dpm++2s"
    /// DPM-Solver++ of second order with fresh noise, two calls a step: k-diffusion's `sample_dpmpp_2s_ancestral`.
    case dpmpp2sAncestral = "dpm++2s_a"
    /// DPM-Solver++, multistep, second order: DPMSolverMultistepScheduler.
    case dpmpp2m = "dpm++2m"
    /// `dpmpp2m` as a stochastic equation: DPMSolverMultistepScheduler with `sde-dpmsolver++`.
    case dpmpp2mSDE = "dpm++2m_sde"
    /// DPM-Solver++, multistep, third order: DPMSolverMultistepScheduler with order 3.
    case dpmpp3m = "dpm++3m"
    /// DPM-Solver++ as a stochastic equation, two calls a step: k-diffusion's `sample_dpmpp_sde`, DPMSolverSDEScheduler.
    case dpmppSDE = "dpm++sde"
    /// Latent consistency models: LCMScheduler.
    case lcm
    /// Song et al. 2020: DDIMScheduler; with eta 1 as noisy as DDPM.
    case ddim
    /// Trajectory consistency distillation: TCDScheduler.
    case tcd
    /// Predictor and corrector of Zhao et al. 2023: UniPCMultistepScheduler.
    case unipc
    /// Pseudo numerical methods, also called PLMS: PNDMScheduler.
    case pndm
    /// Linear multistep on sigmas: LMSDiscreteScheduler.
    case lms
    /// Exponential integrator, multistep: DEISMultistepScheduler.
    case deis
    /// Ho et al. 2020: DDPMScheduler.
    case ddpm
    /// Euler's method for models with EDM's preconditioning (Playground v2.5): EDMEulerScheduler.
    case edmEuler = "edm_euler"
    /// DPM-Solver++ for models with EDM's preconditioning: EDMDPMSolverMultistepScheduler.
    case edmDPMpp2m = "edm_dpm++2m"
}

extension SamplingMethod {
    /// The properties of a method.
    struct Traits {
        /// The name in A1111's web UI, or a name in its style.
        var label: String
        /// diffusers' class; nil if it stands for another method, or if there is none.
        var className: String?
        /// The default of `eta`; nil if the method has no use for it.
        var defaultEta: Double?
        /// Whether the method works on sigmas. These grow to infinity as the signal vanishes.
        var hasSigmas: Bool
        /// Whether the method supports schedules whose last training step is pure noise.
        var allowsZeroSNR: Bool
        /// Whether the method is a variant of DPM-Solver.
        var isSolver = false
    }

    var traits: Traits {
        switch self {
        case .euler: Traits(label: "Euler", className: "EulerDiscreteScheduler", hasSigmas: true, allowsZeroSNR: true)
        case .eulerAncestral:
            Traits(
                label: "Euler a", className: "EulerAncestralDiscreteScheduler", defaultEta: 1, hasSigmas: true,
                allowsZeroSNR: true)
        case .heun: Traits(label: "Heun", className: "HeunDiscreteScheduler", hasSigmas: true, allowsZeroSNR: false)
        case .dpm2: Traits(label: "DPM2", className: "KDPM2DiscreteScheduler", hasSigmas: true, allowsZeroSNR: false)
        case .dpm2Ancestral:
            Traits(
                label: "DPM2 a", className: "KDPM2AncestralDiscreteScheduler", defaultEta: 1, hasSigmas: true,
                allowsZeroSNR: false)
        case .dpmpp2s:
            Traits(
                label: "DPM++ 2S", className: "DPMSolverSinglestepScheduler", hasSigmas: true, allowsZeroSNR: false,
                isSolver: true)
        case .dpmpp2sAncestral: Traits(label: "DPM++ 2S a", defaultEta: 1, hasSigmas: true, allowsZeroSNR: false)
        case .dpmpp2m:
            Traits(
                label: "DPM++ 2M", className: "DPMSolverMultistepScheduler", hasSigmas: true, allowsZeroSNR: true,
                isSolver: true)
        case .dpmpp2mSDE: Traits(label: "DPM++ 2M SDE", hasSigmas: true, allowsZeroSNR: true, isSolver: true)
        case .dpmpp3m: Traits(label: "DPM++ 3M", hasSigmas: true, allowsZeroSNR: true, isSolver: true)
        case .dpmppSDE:
            Traits(label: "DPM++ SDE", className: "DPMSolverSDEScheduler", defaultEta: 1, hasSigmas: true, allowsZeroSNR: false)
        case .lcm: Traits(label: "LCM", className: "LCMScheduler", hasSigmas: false, allowsZeroSNR: true)
        case .ddim:
            Traits(label: "DDIM", className: "DDIMScheduler", defaultEta: 0, hasSigmas: false, allowsZeroSNR: true)
        case .tcd: Traits(label: "TCD", className: "TCDScheduler", defaultEta: 0.3, hasSigmas: false, allowsZeroSNR: true)
        case .unipc:
            Traits(label: "UniPC", className: "UniPCMultistepScheduler", hasSigmas: true, allowsZeroSNR: true, isSolver: true)
        case .pndm: Traits(label: "PLMS", className: "PNDMScheduler", hasSigmas: false, allowsZeroSNR: false)
        case .lms: Traits(label: "LMS", className: "LMSDiscreteScheduler", hasSigmas: true, allowsZeroSNR: false)
        case .deis:
            Traits(label: "DEIS", className: "DEISMultistepScheduler", hasSigmas: true, allowsZeroSNR: false, isSolver: true)
        case .ddpm: Traits(label: "DDPM", className: "DDPMScheduler", hasSigmas: false, allowsZeroSNR: true)
        case .edmEuler: Traits(label: "EDM Euler", className: "EDMEulerScheduler", hasSigmas: true, allowsZeroSNR: false)
        case .edmDPMpp2m:
            Traits(
                label: "EDM DPM++ 2M", className: "EDMDPMSolverMultistepScheduler", hasSigmas: true, allowsZeroSNR: false,
                isSolver: true)
        }
    }

    /// The name in A1111's web UI, or a name in its style.
    public var label: String { traits.label }

    /// The method of one of diffusers' classes; nil for a class that is not implemented.
    init?(className: String) {
        // ParaDiGMS takes many steps at once with schedulers whose single steps are those of the plain ones.
        let parallel = ["DDIMParallelScheduler": SamplingMethod.ddim, "DDPMParallelScheduler": .ddpm]
        let method = Self.allCases.first { $0.traits.className == className }
        guard let method = method ?? parallel[className] else { return nil }
        self = method
    }

    /// Whether the method is for networks with EDM's preconditioning. No other method fits these.
    var isEDM: Bool { self == .edmEuler || self == .edmDPMpp2m }
}

extension SchedulerConfiguration {
    /// The method of the configuration's own class. DPM-Solver in several steps has several names, by order and noise.
    public var ownMethod: SamplingMethod {
        // A configuration that was read has a known class.
        let method = SamplingMethod(className: className) ?? .ddim
        guard method == .dpmpp2m else { return method }
        if solver.algorithm?.addsNoise == true { return .dpmpp2mSDE }
        return solver.order == 3 ? .dpmpp3m : .dpmpp2m
    }
}
