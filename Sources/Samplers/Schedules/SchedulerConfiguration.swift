public import StrictJSON

/// The quantity that the network predicts.
public enum PredictionType: String, Sendable, CaseIterable {
    case epsilon
    case velocity = "v_prediction"
    case sample
}

/// The spread of the inference steps over the training steps ("Common Diffusion Noise Schedules and Sample Steps are Flawed",
/// Lin et al. 2023, table 2).
public enum TimestepSpacing: String, Sendable, CaseIterable {
    case leading, linspace, trailing
    /// N steps from the last training step to the first, both included. Configuration files do not have this spacing.
    case discrete
    /// N + 1 steps from the last training step to the first, without the first one. Configuration files do not have this
    /// spacing.
    case sgmUniform = "sgm_uniform"

    /// The spacings that a configuration file may name.
    public static let allCases = [leading, linspace, trailing]
}

/// A diffusers `scheduler_config.json`, checked. Absent options stay absent: like diffusers' `from_config`, each sampling
/// method fills them with the defaults of its own class.
public struct SchedulerConfiguration: Sendable, Equatable {
    /// The shape of beta over the training steps.
    public enum BetaSchedule: String, Sendable, CaseIterable {
        case linear
        case scaledLinear = "scaled_linear"
        case squaredCosine = "squaredcos_cap_v2"
    }

    /// The spread of Euler's sigmas between the largest and the smallest.
    public enum SigmaSpacing: Sendable, Equatable {
        case interpolated, karras, exponential
        /// Even steps of the logarithm with rounded timesteps (`use_lu_lambdas`).
        case lu
    }

    /// Options of some of the methods. An absent option takes the method's default.
    public struct SolverOptions: Sendable, Equatable {
        /// The order of DPM-Solver, DEIS and UniPC, 1 to 3; absent: 2.
        public var order: Int?
        public var algorithm: SolverAlgorithm?
        /// DPM-Solver's use of the derivative; absent: midpoint.
        public var usesHeun = false
        /// UniPC's B(h) = h instead of exp(h) - 1 ("bh1").
        public var usesPlainStep = false
        public var lowerOrderFinal: Bool?
        public var eulerAtFinal = false
        public var usesLuLambdas = false
        /// Whether UniPC works on the noise-free sample or on the noise.
        public var predictsOriginal = true
        /// Steps after which UniPC does not correct.
        public var uncorrectedSteps: [Int] = []
        /// Whether PNDM leaves out its Runge-Kutta start. Absent: false if PNDM is the configuration's own class, else true.
        public var skipsRungeKutta: Bool?
        /// DDPM's variance, as in the file; absent: fixed_small.
        public var variance: String?
        /// The number of steps that LCM and TCD were distilled for.
        public var originalSteps = 50
        /// The sharpness of LCM's boundary condition.
        public var timestepScaling = 10.0
        /// EDM's standard deviation of the data, and the curvature of its sigmas.
        public var dataDeviation = 0.5
        public var rho = 7.0
    }

    /// DPM-Solver's variants (Lu et al. 2022). They differ in the quantity the solver is linear in, and in added noise.
    public enum SolverAlgorithm: String, Sendable, CaseIterable {
        case noise = "dpmsolver"
        case original = "dpmsolver++"
        case stochasticNoise = "sde-dpmsolver"
        case stochasticOriginal = "sde-dpmsolver++"

        var addsNoise: Bool { self == .stochasticNoise || self == .stochasticOriginal }
        var isOfOriginal: Bool { self == .original || self == .stochasticOriginal }
    }

    /// `_class_name`, as in the file.
    public var className: String
    public var trainSteps = 1000
    public var betaStart = 0.0001
    public var betaEnd = 0.02
    public var betaSchedule = BetaSchedule.linear
    /// Explicit betas, one for each training step; they replace the three above.
    public var trainedBetas: [Float]?
    public var predictionType = PredictionType.epsilon
    /// Absent: each method's own spacing, leading for DDIM, linspace for Euler.
    public var timestepSpacing: TimestepSpacing?
    public var stepsOffset = 0
    /// Whether betas are stretched until the last training step is pure noise (zero terminal SNR).
    public var rescalesToZeroSNR = false
    /// Absent: true for DDIM and DDPM, false for the other methods with this option.
    public var clipsSample: Bool?
    public var clipRange = 1.0
    /// Whether the step after the last one counts as noise-free. Absent: true for DDIM, LCM and TCD, false for PNDM.
    public var setsAlphaToOne: Bool?
    /// Dynamic thresholding, which is not implemented.
    public var thresholds = false
    public var sigmaSpacing = SigmaSpacing.interpolated
    /// Euler only: the logarithms of the noise levels fall evenly, instead of following the timesteps.
    public var isLogLinear = false
    public var sigmaMin: Double?
    public var sigmaMax: Double?
    /// Whether the last sigma is the smallest of training instead of zero.
    public var endsAtSmallestSigma = false
    public var solver = SolverOptions()
    /// Options of the methods on sigmas that are not implemented, as "option = value".
    public var unsupportedOptions: [String] = []
    /// Such options that only DPM-Solver, DEIS and UniPC read.
    public var unsupportedSolverOptions: [String] = []

    /// Reads `scheduler_config.json`.
    ///
    /// - Throws: an error that names the class or the option: for a class that no sampling method stands for, and for an
    ///   option whose value has the wrong kind, is out of range or is unknown.
    public init(json: JSONValue) throws(SamplerError) {
        let reader = OptionReader(json)
        guard let object = json.objectValue else {
            throw SamplerError(.badConfiguration, "scheduler_config.json holds \(json.kindName) where an object is needed.")
        }
        guard let name = object["_class_name"]?.stringValue else {
            throw SamplerError(.badConfiguration, "scheduler_config.json does not say its _class_name.")
        }
        guard SamplingMethod(className: name) != nil else {
            throw SamplerError(
                .unsupported,
                "The scheduler \(name) is not supported: the model needs one of diffusers' schedulers for noise, "
                    + "such as DDIMScheduler or EulerDiscreteScheduler.")
        }
        className = name
        trainSteps = try reader.integer("num_train_timesteps", default: 1000, in: 1...100_000)
        let defaults = Self.defaultBetas(className: name)
        betaStart = try reader.number("beta_start", default: defaults.start, in: 0...1)
        betaEnd = try reader.number("beta_end", default: defaults.end, in: 0...1)
        betaSchedule = try reader.choice("beta_schedule") ?? defaults.schedule
        trainedBetas = try reader.betas(count: trainSteps)
        predictionType = try reader.choice("prediction_type") ?? .epsilon
        timestepSpacing = try reader.choice("timestep_spacing")
        stepsOffset = try reader.integer("steps_offset", default: 0, in: 0...trainSteps)
        rescalesToZeroSNR = try reader.flag("rescale_betas_zero_snr") ?? false
        clipsSample = try reader.flag("clip_sample")
        clipRange = try reader.number("clip_sample_range", default: 1, in: 0...1e6)
        setsAlphaToOne = try reader.flag("set_alpha_to_one")
        thresholds = try reader.flag("thresholding") ?? false
        try readSigmaOptions(reader, json)
        try readSolverOptions(reader)
    }

    /// The betas of a class if its configuration has none.
    private static func defaultBetas(className: String) -> (start: Double, end: Double, schedule: BetaSchedule) {
        switch SamplingMethod(className: className) {
        case .heun, .dpm2, .dpm2Ancestral, .dpmppSDE: (0.00085, 0.012, .linear)
        case .lcm, .tcd: (0.00085, 0.012, .scaledLinear)
        default: (0.0001, 0.02, .linear)
        }
    }

    private mutating func readSigmaOptions(_ reader: OptionReader, _ json: JSONValue) throws(SamplerError) {
        let karras = try reader.flag("use_karras_sigmas") ?? false
        let exponential = try reader.flag("use_exponential_sigmas") ?? false
        if karras && exponential {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json sets use_karras_sigmas and use_exponential_sigmas; only one may be true.")
        }
        let interpolation = try reader.text("interpolation_type") ?? "linear"
        switch interpolation {
        case "linear": break
        case "log_linear": isLogLinear = true
        default: unsupportedOptions.append("interpolation_type = \(interpolation)")
        }
        if karras { sigmaSpacing = .karras }
        if exponential { sigmaSpacing = .exponential }
        sigmaMin = try reader.optionalNumber("sigma_min", in: 1e-9...1e6)
        sigmaMax = try reader.optionalNumber("sigma_max", in: 1e-9...1e6)
        let final = try reader.text("final_sigmas_type") ?? "zero"
        switch final {
        case "zero": endsAtSmallestSigma = false
        case "sigma_min": endsAtSmallestSigma = true
        default: unsupportedOptions.append("final_sigmas_type = \(final)")
        }
        if try reader.flag("use_beta_sigmas") ?? false { unsupportedOptions.append("use_beta_sigmas = true") }
        for option in ["use_flow_sigmas", "use_dynamic_shifting"] where try reader.flag(option) ?? false {
            unsupportedSolverOptions.append("\(option) = true")
        }
        let timestepType = try reader.text("timestep_type") ?? "discrete"
        if timestepType != "discrete" { unsupportedOptions.append("timestep_type = \(timestepType)") }
        for option in ["shift_terminal", "solver_p", "lambda_min_clipped"] where reader.has(option) {
            // Where diffusers writes portable JSON, it writes minus infinity, its default, as text.
            if option == "lambda_min_clipped", json[option]?.stringValue == "-Infinity" { continue }
            unsupportedSolverOptions.append("\(option) other than its default")
        }
        if let schedule = try reader.text("sigma_schedule") {
            switch schedule {
            case "karras": sigmaSpacing = .karras
            case "exponential": sigmaSpacing = .exponential
            default: unsupportedOptions.append("sigma_schedule = \(schedule)")
            }
        }
    }

    private mutating func readSolverOptions(_ reader: OptionReader) throws(SamplerError) {
        if reader.has("solver_order") { solver.order = try reader.integer("solver_order", default: 2, in: 1...3) }
        switch try reader.text("algorithm_type") {
        case nil, "deis": break
        case let name?:
            guard let algorithm = SolverAlgorithm(rawValue: name) else {
                unsupportedSolverOptions.append("algorithm_type = \(name)")
                break
            }
            solver.algorithm = algorithm
        }
        // Like diffusers, each class reads the other classes' names as its own default.
        switch try reader.text("solver_type") {
        case nil, "midpoint", "logrho", "bh2": break
        case "heun": solver.usesHeun = true
        case "bh1": solver.usesPlainStep = true
        case let name?: unsupportedSolverOptions.append("solver_type = \(name)")
        }
        solver.lowerOrderFinal = try reader.flag("lower_order_final")
        solver.eulerAtFinal = try reader.flag("euler_at_final") ?? false
        solver.usesLuLambdas = try reader.flag("use_lu_lambdas") ?? false
        solver.predictsOriginal = try reader.flag("predict_x0") ?? true
        solver.uncorrectedSteps = try reader.integers("disable_corrector") ?? []
        solver.skipsRungeKutta = try reader.flag("skip_prk_steps")
        solver.variance = try reader.text("variance_type")
        solver.originalSteps = try reader.integer("original_inference_steps", default: 50, in: 1...100_000)
        solver.timestepScaling = try reader.number("timestep_scaling", default: 10, in: 1e-3...1e6)
        solver.dataDeviation = try reader.number("sigma_data", default: 0.5, in: 1e-6...1e6)
        solver.rho = try reader.number("rho", default: 7, in: 1e-2...1e3)
    }
}
