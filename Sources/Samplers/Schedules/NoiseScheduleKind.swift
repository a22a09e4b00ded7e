/// The way in which a run spreads its noise levels, by the names of stable-diffusion.cpp, A1111 and diffusers.
///
/// With methods on sigmas each of these ends at sigma zero, unless the configuration says otherwise.
public enum NoiseScheduleKind: String, Sendable, CaseIterable {
    /// The spread of the model's configuration.
    case automatic
    /// N timesteps from the last training step to the first, both included; sigmas by linear interpolation. A1111's
    /// "Uniform"; diffusers' `timestep_spacing = linspace` of Euler and related classes.
    case discrete
    /// Sigmas after Karras et al. 2022, equation 5, with rho 7, between the largest and the smallest of training (`sigma_max`
    /// and `sigma_min` of the configuration, if it has them): diffusers' `use_karras_sigmas` with linspace spacing.
    case karras
    /// Evenly spaced logarithms of sigma between the ends of `karras`: diffusers' `use_exponential_sigmas`.
    case exponential
    /// N + 1 evenly spaced timesteps from the last training step to the first, without the first one, as in A1111 and
    /// ComfyUI; diffusers' `timestep_spacing = linspace` of DPM-Solver and related classes.
    case sgmUniform = "sgm_uniform"
    /// Timesteps evenly spaced from the last training step down: diffusers' `timestep_spacing = trailing`.
    case trailing
    /// Timesteps at multiples of the whole ratio, plus `steps_offset`: diffusers' `timestep_spacing = leading`.
    case leading
    /// diffusers' `timestep_spacing = linspace`. It means `discrete` for some of its classes and `sgm_uniform` for others.
    case linspace
}

extension SchedulerConfiguration {
    /// The configuration, adapted to `method` with the schedule `kind`.
    ///
    /// - Throws: for a combination without meaning, with the remedy.
    func adapted(
        to method: SamplingMethod, isChosen: Bool, _ kind: NoiseScheduleKind
    ) throws(SamplerError) -> SchedulerConfiguration {
        try checkFit(method, isChosen: isChosen)
        var adapted = self
        if isChosen { adapted.solver.adapt(to: method) }
        guard kind != .automatic else { return adapted }
        try method.check(kind)
        adapted.solver.usesLuLambdas = false
        adapted.isLogLinear = false
        adapted.sigmaSpacing =
            switch kind {
            case .karras: .karras
            case .exponential: .exponential
            default: .interpolated
            }
        adapted.timestepSpacing =
            switch kind {
            case .discrete: .discrete
            case .sgmUniform: .sgmUniform
            case .trailing: .trailing
            case .leading: .leading
            // Karras' and exponential sigmas lie between the ends of linspace.
            case .linspace, .karras, .exponential, .automatic: .linspace
            }
        return adapted
    }
}

extension SchedulerConfiguration.SolverOptions {
    /// Sets the options that the name of a method fixes.
    fileprivate mutating func adapt(to method: SamplingMethod) {
        switch method {
        case .dpmpp2m, .dpmpp2s, .edmDPMpp2m: (order, algorithm) = (2, .original)
        case .dpmpp2mSDE: (order, algorithm) = (2, .stochasticOriginal)
        case .dpmpp3m: (order, algorithm) = (3, .original)
        case .euler, .eulerAncestral, .heun, .dpm2, .dpm2Ancestral, .dpmpp2sAncestral, .dpmppSDE, .lcm, .ddim, .tcd, .unipc,
            .pndm, .lms, .deis, .ddpm, .edmEuler:
            break
        }
    }
}
