public import StrictJSON

/// What the network predicts.
public enum PredictionType: String, Sendable, CaseIterable {
    case epsilon
    case velocity = "v_prediction"
    case sample
}

/// How the inference steps are spread over the training steps ("Common Diffusion Noise Schedules and Sample Steps are Flawed",
/// Lin et al. 2023, table 2).
public enum TimestepSpacing: String, Sendable, CaseIterable {
    case leading, linspace, trailing
}

/// A diffusers `scheduler_config.json`, checked. Options that are absent stay absent: like diffusers' `from_config`, each
/// sampling method fills them with its own class's defaults.
public struct SchedulerConfiguration: Sendable, Equatable {
    /// The shape of beta over the training steps.
    public enum BetaSchedule: String, Sendable, CaseIterable {
        case linear
        case scaledLinear = "scaled_linear"
        case squaredCosine = "squaredcos_cap_v2"
    }

    /// How Euler's sigmas are chosen between the largest and the smallest.
    public enum SigmaSpacing: Sendable, Equatable {
        case interpolated, logLinear, karras, exponential
    }

    /// `_class_name`, as written.
    public var className: String
    public var trainSteps = 1000
    public var betaStart = 0.0001
    public var betaEnd = 0.02
    public var betaSchedule = BetaSchedule.linear
    /// Explicit betas, one for each training step; they replace the three above.
    public var trainedBetas: [Float]?
    public var predictionType = PredictionType.epsilon
    /// Absent: DDIM takes leading, Euler linspace.
    public var timestepSpacing: TimestepSpacing?
    public var stepsOffset = 0
    /// Betas are stretched until the last training step is pure noise (zero terminal SNR).
    public var rescalesToZeroSNR = false
    /// DDIM only. Absent: true.
    public var clipsSample: Bool?
    public var clipRange = 1.0
    /// DDIM only; absent: true. Whether the step after the last one counts as noise-free.
    public var setsAlphaToOne: Bool?
    /// DDIM only: dynamic thresholding, which is not implemented.
    public var thresholds = false
    public var sigmaSpacing = SigmaSpacing.interpolated
    public var sigmaMin: Double?
    public var sigmaMax: Double?
    /// Euler only: the last sigma is the smallest of training instead of zero.
    public var endsAtSmallestSigma = false
    /// Euler only: options that are not implemented, as "option = value".
    public var unsupportedEulerOptions: [String] = []

    /// Reads `scheduler_config.json`.
    ///
    /// Errors: a class that neither is nor can stand for DDIM or Euler, and every option whose value is of the wrong kind,
    /// out of range or unknown, are named.
    public init(json: JSONValue) throws(SamplerError) {
        let reader = OptionReader(json)
        guard let object = json.objectValue else {
            throw SamplerError(.badConfiguration, "scheduler_config.json holds \(json.kindName) where an object is needed.")
        }
        guard let name = object["_class_name"]?.stringValue else {
            throw SamplerError(.badConfiguration, "scheduler_config.json does not say its _class_name.")
        }
        guard Self.knownClasses.contains(name) else {
            throw SamplerError(
                .unsupported, "The scheduler \(name) is not supported: the model needs one that DDIM or Euler can stand in for."
            )
        }
        className = name
        trainSteps = try reader.integer("num_train_timesteps", default: 1000, in: 1...100_000)
        betaStart = try reader.number("beta_start", default: 0.0001, in: 0...1)
        betaEnd = try reader.number("beta_end", default: 0.02, in: 0...1)
        betaSchedule = try reader.choice("beta_schedule") ?? .linear
        trainedBetas = try reader.betas(count: trainSteps)
        predictionType = try reader.choice("prediction_type") ?? .epsilon
        timestepSpacing = try reader.choice("timestep_spacing")
        stepsOffset = try reader.integer("steps_offset", default: 0, in: 0...trainSteps)
        rescalesToZeroSNR = try reader.flag("rescale_betas_zero_snr") ?? false
        clipsSample = try reader.flag("clip_sample")
        clipRange = try reader.number("clip_sample_range", default: 1, in: 0...1e6)
        setsAlphaToOne = try reader.flag("set_alpha_to_one")
        thresholds = try reader.flag("thresholding") ?? false
        try readEulerOptions(reader)
    }

    private mutating func readEulerOptions(_ reader: OptionReader) throws(SamplerError) {
        let karras = try reader.flag("use_karras_sigmas") ?? false
        let exponential = try reader.flag("use_exponential_sigmas") ?? false
        if karras && exponential {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json sets use_karras_sigmas and use_exponential_sigmas; only one may be true.")
        }
        let interpolation = try reader.text("interpolation_type") ?? "linear"
        switch interpolation {
        case "linear": sigmaSpacing = .interpolated
        case "log_linear": sigmaSpacing = .logLinear
        default: unsupportedEulerOptions.append("interpolation_type = \(interpolation)")
        }
        if karras { sigmaSpacing = .karras }
        if exponential { sigmaSpacing = .exponential }
        sigmaMin = try reader.optionalNumber("sigma_min", in: 1e-9...1e6)
        sigmaMax = try reader.optionalNumber("sigma_max", in: 1e-9...1e6)
        let final = try reader.text("final_sigmas_type") ?? "zero"
        switch final {
        case "zero": endsAtSmallestSigma = false
        case "sigma_min": endsAtSmallestSigma = true
        default: unsupportedEulerOptions.append("final_sigmas_type = \(final)")
        }
        if try reader.flag("use_beta_sigmas") ?? false { unsupportedEulerOptions.append("use_beta_sigmas = true") }
        let timestepType = try reader.text("timestep_type") ?? "discrete"
        if timestepType != "discrete" { unsupportedEulerOptions.append("timestep_type = \(timestepType)") }
    }

    /// diffusers classes that share one family of configurations, so that any of them can be rebuilt as DDIM or Euler.
    static let knownClasses: Set<String> = [
        "DDIMScheduler", "EulerDiscreteScheduler", "PNDMScheduler", "DDPMScheduler", "LMSDiscreteScheduler",
        "EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler",
        "DPMSolverSinglestepScheduler",
        "KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler",
        "DPMSolverSDEScheduler", "LCMScheduler",
    ]
}
