public import StrictJSON

extension SchedulerConfiguration {
    /// The keys of a `scheduler_config.json` that no sampler knows, sorted. diffusers ignores them too. Keys that begin with
    /// an underscore are the library's notes, and `null` counts as absent; neither is returned.
    public static func unknownKeys(_ json: JSONValue) -> [String] {
        (json.objectValue?.keys.sorted() ?? []).filter { key in
            !knownKeys.contains(key) && !key.hasPrefix("_") && json[key]?.isNull == false
        }
    }

    /// The options of diffusers' noise schedulers. Each class has some of them. Files keep options of the class that wrote
    /// them earlier.
    private static let knownKeys: Set<String> = [
        "algorithm_type", "beta_end", "beta_schedule", "beta_start", "clip_sample", "clip_sample_range", "disable_corrector",
        "dynamic_thresholding_ratio", "euler_at_final", "final_sigmas_type", "flow_shift", "interpolation_type",
        "lambda_min_clipped", "lower_order_final", "noise_sampler_seed", "num_train_timesteps", "original_inference_steps",
        "predict_x0", "prediction_type", "rescale_betas_zero_snr", "rho", "sample_max_value", "set_alpha_to_one",
        "shift_terminal", "sigma_data", "sigma_max", "sigma_min", "sigma_schedule", "skip_prk_steps", "solver_order",
        "solver_p",
        "solver_type", "steps_offset", "tensor_format", "thresholding", "time_shift_type", "timestep_scaling",
        "timestep_spacing", "timestep_type", "trained_betas", "use_beta_sigmas", "use_dynamic_shifting",
        "use_exponential_sigmas", "use_flow_sigmas", "use_karras_sigmas", "use_lu_lambdas", "variance_type",
    ]
}
