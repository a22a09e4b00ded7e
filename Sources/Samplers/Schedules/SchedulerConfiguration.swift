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
        guard let object = json.objectValue else {
            throw SamplerError(.badConfiguration, "scheduler_config.json holds \(json.kindName) where an object is needed.")
        }
        let reader = OptionReader(options: object)
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
        trainSteps = try reader.optional("num_train_timesteps", .integer(1...100_000)) ?? 1000
        let defaults = Self.defaultBetas(className: name)
        betaStart = try reader.optional("beta_start", .number(0...1)) ?? defaults.start
        betaEnd = try reader.optional("beta_end", .number(0...1)) ?? defaults.end
        betaSchedule = try reader.optional("beta_schedule", .choice()) ?? defaults.schedule
        trainedBetas = try reader.betas(count: trainSteps)
        predictionType = try reader.optional("prediction_type", .choice()) ?? .epsilon
        timestepSpacing = try reader.optional("timestep_spacing", .choice())
        stepsOffset = try reader.optional("steps_offset", .integer(0...trainSteps)) ?? 0
        rescalesToZeroSNR = try reader.optional("rescale_betas_zero_snr", .flag()) ?? false
        clipsSample = try reader.optional("clip_sample", .flag())
        clipRange = try reader.optional("clip_sample_range", .number(0...1e6)) ?? 1
        setsAlphaToOne = try reader.optional("set_alpha_to_one", .flag())
        thresholds = try reader.optional("thresholding", .flag()) ?? false
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
        let karras = try reader.optional("use_karras_sigmas", .flag()) ?? false
        let exponential = try reader.optional("use_exponential_sigmas", .flag()) ?? false
        if karras && exponential {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json sets use_karras_sigmas and use_exponential_sigmas; only one may be true.")
        }
        let interpolation = try reader.optional("interpolation_type", .string()) ?? "linear"
        switch interpolation {
        case "linear": break
        case "log_linear": isLogLinear = true
        default: unsupportedOptions.append("interpolation_type = \(interpolation)")
        }
        if karras { sigmaSpacing = .karras }
        if exponential { sigmaSpacing = .exponential }
        sigmaMin = try reader.optional("sigma_min", .number(1e-9...1e6))
        sigmaMax = try reader.optional("sigma_max", .number(1e-9...1e6))
        let final = try reader.optional("final_sigmas_type", .string()) ?? "zero"
        switch final {
        case "zero": endsAtSmallestSigma = false
        case "sigma_min": endsAtSmallestSigma = true
        default: unsupportedOptions.append("final_sigmas_type = \(final)")
        }
        if try reader.optional("use_beta_sigmas", .flag()) ?? false { unsupportedOptions.append("use_beta_sigmas = true") }
        for option in ["use_flow_sigmas", "use_dynamic_shifting"] where try reader.optional(option, .flag()) ?? false {
            unsupportedSolverOptions.append("\(option) = true")
        }
        let timestepType = try reader.optional("timestep_type", .string()) ?? "discrete"
        if timestepType != "discrete" { unsupportedOptions.append("timestep_type = \(timestepType)") }
        for option in ["shift_terminal", "solver_p", "lambda_min_clipped"] where reader[option] != nil {
            // Where diffusers writes portable JSON, it writes minus infinity, its default, as text.
            if option == "lambda_min_clipped", json[option]?.stringValue == "-Infinity" { continue }
            unsupportedSolverOptions.append("\(option) other than its default")
        }
        if let schedule = try reader.optional("sigma_schedule", .string()) {
            switch schedule {
            case "karras": sigmaSpacing = .karras
            case "exponential": sigmaSpacing = .exponential
            default: unsupportedOptions.append("sigma_schedule = \(schedule)")
            }
        }
    }

    private mutating func readSolverOptions(_ reader: OptionReader) throws(SamplerError) {
        solver.order = try reader.optional("solver_order", .integer(1...3))
        switch try reader.optional("algorithm_type", .string()) {
        case nil, "deis": break
        case let name?:
            guard let algorithm = SolverAlgorithm(rawValue: name) else {
                unsupportedSolverOptions.append("algorithm_type = \(name)")
                break
            }
            solver.algorithm = algorithm
        }
        // Like diffusers, each class reads the other classes' names as its own default.
        switch try reader.optional("solver_type", .string()) {
        case nil, "midpoint", "logrho", "bh2": break
        case "heun": solver.usesHeun = true
        case "bh1": solver.usesPlainStep = true
        case let name?: unsupportedSolverOptions.append("solver_type = \(name)")
        }
        solver.lowerOrderFinal = try reader.optional("lower_order_final", .flag())
        solver.eulerAtFinal = try reader.optional("euler_at_final", .flag()) ?? false
        solver.usesLuLambdas = try reader.optional("use_lu_lambdas", .flag()) ?? false
        solver.predictsOriginal = try reader.optional("predict_x0", .flag()) ?? true
        solver.uncorrectedSteps = try reader.integers("disable_corrector") ?? []
        solver.skipsRungeKutta = try reader.optional("skip_prk_steps", .flag())
        solver.variance = try reader.optional("variance_type", .string())
        solver.originalSteps = try reader.optional("original_inference_steps", .integer(1...100_000)) ?? 50
        solver.timestepScaling = try reader.optional("timestep_scaling", .number(1e-3...1e6)) ?? 10
        solver.dataDeviation = try reader.optional("sigma_data", .number(1e-6...1e6)) ?? 0.5
        solver.rho = try reader.optional("rho", .number(1e-2...1e3)) ?? 7
    }
}
