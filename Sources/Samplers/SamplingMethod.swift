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
    /// The method of one of diffusers' classes; nil for a class that is not implemented.
    public init?(className: String) {
        switch className {
        case "EulerDiscreteScheduler": self = .euler
        case "EulerAncestralDiscreteScheduler": self = .eulerAncestral
        case "HeunDiscreteScheduler": self = .heun
        case "KDPM2DiscreteScheduler": self = .dpm2
        case "KDPM2AncestralDiscreteScheduler": self = .dpm2Ancestral
        case "DPMSolverSinglestepScheduler": self = .dpmpp2s
        case "DPMSolverMultistepScheduler": self = .dpmpp2m
        case "DPMSolverSDEScheduler": self = .dpmppSDE
        case "LCMScheduler": self = .lcm
        // ParaDiGMS takes many steps at once with schedulers whose single steps are those of the plain ones.
        case "DDIMScheduler", "DDIMParallelScheduler": self = .ddim
        case "TCDScheduler": self = .tcd
        case "UniPCMultistepScheduler": self = .unipc
        case "PNDMScheduler": self = .pndm
        case "LMSDiscreteScheduler": self = .lms
        case "DEISMultistepScheduler": self = .deis
        case "DDPMScheduler", "DDPMParallelScheduler": self = .ddpm
        case "EDMEulerScheduler": self = .edmEuler
        case "EDMDPMSolverMultistepScheduler": self = .edmDPMpp2m
        default: return nil
        }
    }

    /// Whether the method is for networks with EDM's preconditioning. No other method fits these.
    var isEDM: Bool { self == .edmEuler || self == .edmDPMpp2m }

    /// The default of `eta`; nil if the method has no use for it.
    var defaultEta: Double? {
        switch self {
        case .ddim: 0
        case .tcd: 0.3
        case .eulerAncestral, .dpm2Ancestral, .dpmpp2sAncestral, .dpmppSDE: 1
        default: nil
        }
    }

    /// Whether the method supports schedules whose last training step is pure noise.
    var allowsZeroSNR: Bool {
        switch self {
        case .ddim, .ddpm, .euler, .eulerAncestral, .dpmpp2m, .dpmpp2mSDE, .dpmpp3m, .unipc, .lcm, .tcd: true
        case .heun, .dpm2, .dpm2Ancestral, .dpmpp2s, .dpmpp2sAncestral, .dpmppSDE, .pndm, .lms, .deis, .edmEuler, .edmDPMpp2m:
            false
        }
    }

    /// Whether the method works on sigmas. These grow to infinity as the signal vanishes.
    var hasSigmas: Bool {
        switch self {
        case .ddim, .ddpm, .pndm, .lcm, .tcd: false
        case .euler, .eulerAncestral, .heun, .dpm2, .dpm2Ancestral, .dpmpp2s, .dpmpp2sAncestral, .dpmpp2m, .dpmpp2mSDE,
            .dpmpp3m, .dpmppSDE, .unipc, .lms, .deis, .edmEuler, .edmDPMpp2m:
            true
        }
    }
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
