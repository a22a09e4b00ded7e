public import StrictJSON

/// The quantity that the network predicts.
enum PredictionType: String, Sendable, CaseIterable {
    case epsilon
    case velocity = "v_prediction"
    case sample
}

/// The spread of the inference steps over the training steps ("Common Diffusion Noise Schedules and Sample Steps are Flawed",
/// Lin et al. 2023, table 2).
enum TimestepSpacing: String, Sendable, CaseIterable {
    case leading, linspace, trailing
    /// N steps from the last training step to the first, both included. Configuration files do not have this spacing.
    case discrete
    /// N + 1 steps from the last training step to the first, without the first one. Configuration files do not have this
    /// spacing.
    case sgmUniform = "sgm_uniform"

    /// The spacings that a configuration file may name.
    static let allCases = [leading, linspace, trailing]
}

/// A diffusers `scheduler_config.json`, checked. Absent options stay absent: like diffusers' `from_config`, each sampling
/// method fills them with the defaults of its own class.
public struct SchedulerConfiguration: Sendable, Equatable {
    /// The shape of beta over the training steps.
    enum BetaSchedule: String, Sendable, CaseIterable {
        case linear
        case scaledLinear = "scaled_linear"
        case squaredCosine = "squaredcos_cap_v2"
    }

    /// The spread of Euler's sigmas between the largest and the smallest.
    enum SigmaSpacing: Sendable, Equatable {
        case interpolated, karras, exponential
        /// Even steps of the logarithm with rounded timesteps (`use_lu_lambdas`).
        case lu
    }

    /// Options of some of the methods. An absent option takes the method's default.
    struct SolverOptions: Sendable, Equatable {
        /// The order of DPM-Solver, DEIS and UniPC, 1 to 3; absent: 2.
        var order: Int?
        var algorithm: SolverAlgorithm?
        /// DPM-Solver's use of the derivative; absent: midpoint.
        var usesHeun = false
        /// UniPC's B(h) = h instead of exp(h) - 1 ("bh1").
        var usesPlainStep = false
        var lowerOrderFinal: Bool?
        var eulerAtFinal = false
        var usesLuLambdas = false
        /// Whether UniPC works on the noise-free sample or on the noise.
        var predictsOriginal = true
        /// Steps after which UniPC does not correct.
        var uncorrectedSteps: [Int] = []
        /// Whether PNDM leaves out its Runge-Kutta start. Absent: false if PNDM is the configuration's own class, else true.
        var skipsRungeKutta: Bool?
        /// DDPM's variance, as in the file; absent: fixed_small.
        var variance: String?
        /// The number of steps that LCM and TCD were distilled for.
        var originalSteps = 50
        /// The sharpness of LCM's boundary condition.
        var timestepScaling = 10.0
        /// EDM's standard deviation of the data, and the curvature of its sigmas.
        var dataDeviation = 0.5
        var rho = 7.0
    }

    /// DPM-Solver's variants (Lu et al. 2022). They differ in the quantity the solver is linear in, and in added noise.
    enum SolverAlgorithm: String, Sendable, CaseIterable {
        case noise = "dpmsolver"
        case original = "dpmsolver++"
        case stochasticNoise = "sde-dpmsolver"
        case stochasticOriginal = "sde-dpmsolver++"

        var addsNoise: Bool { self == .stochasticNoise || self == .stochasticOriginal }
        var isOfOriginal: Bool { self == .original || self == .stochasticOriginal }
    }

    /// `_class_name`, as in the file.
    var className: String
    var trainSteps = 1000
    var betaStart = 0.0001
    var betaEnd = 0.02
    var betaSchedule = BetaSchedule.linear
    /// Explicit betas, one for each training step; they replace the three above.
    var trainedBetas: [Float]?
    var predictionType = PredictionType.epsilon
    /// The spacing of timesteps. Absent: each method's own, leading for DDIM, linspace for Euler.
    var timestepSpacing: TimestepSpacing?
    var stepsOffset = 0
    /// Whether betas are stretched until the last training step is pure noise (zero terminal SNR).
    var rescalesToZeroSNR = false
    /// Whether the noise-free sample is clipped. Absent: true for DDIM and DDPM, false for the other methods with this option.
    var clipsSample: Bool?
    var clipRange = 1.0
    /// Whether the step after the last one counts as noise-free. Absent: true for DDIM, LCM and TCD, false for PNDM.
    var setsAlphaToOne: Bool?
    /// Dynamic thresholding, which is not implemented.
    var thresholds = false
    var sigmaSpacing = SigmaSpacing.interpolated
    /// Euler only: the logarithms of the noise levels fall evenly, instead of following the timesteps.
    var isLogLinear = false
    var sigmaMin: Double?
    var sigmaMax: Double?
    /// Whether the last sigma is the smallest of training instead of zero.
    var endsAtSmallestSigma = false
    var solver = SolverOptions()
    /// Options of the methods on sigmas that are not implemented, as "option = value".
    var unsupportedOptions: [String] = []
    /// The same for options that only DPM-Solver, DEIS and UniPC read.
    var unsupportedSolverOptions: [String] = []

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
        try reader.read("num_train_timesteps", .integer(1...100_000), into: &trainSteps)
        (betaStart, betaEnd, betaSchedule) = Self.defaultBetas(className: name)
        try reader.read("beta_start", .number(0...1), into: &betaStart)
        try reader.read("beta_end", .number(0...1), into: &betaEnd)
        try reader.read("beta_schedule", .choice(), into: &betaSchedule)
        trainedBetas = try reader.betas(count: trainSteps)
        try reader.read("prediction_type", .choice(), into: &predictionType)
        timestepSpacing = try reader.optional("timestep_spacing", .choice())
        try reader.read("steps_offset", .integer(0...trainSteps), into: &stepsOffset)
        try reader.read("rescale_betas_zero_snr", .flag(), into: &rescalesToZeroSNR)
        clipsSample = try reader.optional("clip_sample", .flag())
        try reader.read("clip_sample_range", .number(0...1e6), into: &clipRange)
        setsAlphaToOne = try reader.optional("set_alpha_to_one", .flag())
        try reader.read("thresholding", .flag(), into: &thresholds)
        try readSigmaOptions(reader, json)
        try readSolverOptions(reader)
    }

    /// The betas of a class if its configuration has none.
    private static func defaultBetas(className: String) -> (start: Double, end: Double, schedule: BetaSchedule) {
        switch SamplingMethod(className: className) {
        case .heun, .dpm2, .dpm2Ancestral, .dpmppSDE: (0.00085, 0.012, .linear)
        case .lcm, .tcd: (0.00085, 0.012, .scaledLinear)
        case .euler, .eulerAncestral, .dpmpp2s, .dpmpp2sAncestral, .dpmpp2m, .dpmpp2mSDE, .dpmpp3m, .ddim, .unipc, .pndm, .lms,
            .deis, .ddpm, .edmEuler, .edmDPMpp2m, nil:
            (0.0001, 0.02, .linear)
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
        let interpolation = try text("interpolation_type", ["linear", "log_linear"], reader, \.unsupportedOptions)
        isLogLinear = interpolation == "log_linear"
        if karras { sigmaSpacing = .karras }
        if exponential { sigmaSpacing = .exponential }
        sigmaMin = try reader.optional("sigma_min", .number(1e-9...1e6))
        sigmaMax = try reader.optional("sigma_max", .number(1e-9...1e6))
        let final = try text("final_sigmas_type", ["zero", "sigma_min"], reader, \.unsupportedOptions)
        endsAtSmallestSigma = final == "sigma_min"
        if try reader.optional("use_beta_sigmas", .flag()) ?? false { unsupportedOptions.append("use_beta_sigmas = true") }
        for option in ["use_flow_sigmas", "use_dynamic_shifting"] where try reader.optional(option, .flag()) ?? false {
            unsupportedSolverOptions.append("\(option) = true")
        }
        _ = try text("timestep_type", ["discrete"], reader, \.unsupportedOptions)
        for option in ["shift_terminal", "solver_p", "lambda_min_clipped"] where reader[option] != nil {
            // In portable JSON diffusers writes minus infinity, its default, as text.
            if option == "lambda_min_clipped", json[option]?.stringValue == "-Infinity" { continue }
            unsupportedSolverOptions.append("\(option) other than its default")
        }
        let spacing = try text("sigma_schedule", ["karras", "exponential"], reader, \.unsupportedOptions)
        if let spacing { sigmaSpacing = spacing == "karras" ? .karras : .exponential }
    }

    private mutating func readSolverOptions(_ reader: OptionReader) throws(SamplerError) {
        solver.order = try reader.optional("solver_order", .integer(1...3))
        let algorithms = ["deis"] + SolverAlgorithm.allCases.map(\.rawValue)
        let algorithm = try text("algorithm_type", algorithms, reader, \.unsupportedSolverOptions)
        solver.algorithm = algorithm.flatMap(SolverAlgorithm.init)
        // Like diffusers, each class reads the other classes' names as its own default.
        let types = ["midpoint", "logrho", "bh2", "heun", "bh1"]
        let type = try text("solver_type", types, reader, \.unsupportedSolverOptions)
        solver.usesHeun = type == "heun"
        solver.usesPlainStep = type == "bh1"
        solver.lowerOrderFinal = try reader.optional("lower_order_final", .flag())
        try reader.read("euler_at_final", .flag(), into: &solver.eulerAtFinal)
        try reader.read("use_lu_lambdas", .flag(), into: &solver.usesLuLambdas)
        try reader.read("predict_x0", .flag(), into: &solver.predictsOriginal)
        solver.uncorrectedSteps = try reader.integers("disable_corrector") ?? []
        solver.skipsRungeKutta = try reader.optional("skip_prk_steps", .flag())
        solver.variance = try reader.optional("variance_type", .string())
        try reader.read("original_inference_steps", .integer(1...100_000), into: &solver.originalSteps)
        try reader.read("timestep_scaling", .number(1e-3...1e6), into: &solver.timestepScaling)
        try reader.read("sigma_data", .number(1e-6...1e6), into: &solver.dataDeviation)
        try reader.read("rho", .number(1e-2...1e3), into: &solver.rho)
    }

    /// The text of an option, if it is one of `known`. Any other text goes to a list of options that are not implemented.
    private mutating func text(
        _ option: String, _ known: [String], _ reader: OptionReader, _ list: WritableKeyPath<Self, [String]>
    ) throws(SamplerError) -> String? {
        guard let text = try reader.optional(option, .string()) else { return nil }
        if known.contains(text) { return text }
        self[keyPath: list].append("\(option) = \(text)")
        return nil
    }
}
