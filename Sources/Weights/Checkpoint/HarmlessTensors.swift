/// Known tensors outside the model, in files of every layout: see `ComponentNames.isHarmless`.
enum HarmlessTensors {
    /// Constants of training.
    static let names: Set<String> = [
        "alphas_cumprod", "alphas_cumprod_prev", "betas", "log_one_minus_alphas_cumprod", "logvar", "lvlb_weights",
        "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2", "posterior_variance", "scale_factor",
        "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
    ]
    /// Constants of text encoders, by the ends of their names.
    static let endings = ["position_ids", "logit_scale", "attn_mask"]
    /// Averaged weights, and parts that only training has.
    static let beginnings = ["denoiser.", "first_stage_model.loss.", "first_stage_model.model_ema.", "loss.", "model_ema."]
}
