import Acceleration
import StrictJSON

// The table of the supported families.

extension ModelFamily {
    /// All families, in the order of the search.
    public static let all = [stableDiffusionXL, stableDiffusion2, stableDiffusion1]

    /// The names of all families for a sentence: `Stable Diffusion 1.x, 2.x or XL`.
    ///
    /// - Parameter link: the word before the last name.
    static func names(_ link: String) -> String {
        let names = all.reversed().map(\.name)
        // A beginning that the first name has is said once.
        let common = "Stable Diffusion "
        let short = names.enumerated().map { $0 > 0 && $1.hasPrefix(common) ? String($1.dropFirst(common.count)) : $1 }
        return short.dropLast().joined(separator: ", ") + " \(link) " + (short.last ?? "")
    }

    public static let stableDiffusion1 = ModelFamily(
        name: "Stable Diffusion 1.x", pipeline: "StableDiffusion", unetMarks: [:], kinds: [.sd1],
        texts: [
            TextEncoder(
                naming: .transformers, prefixes: ["cond_stage_model.transformer."], configuration: clip,
                padding: "<|endoftext|>")
        ],
        unet: fourLevels.setting(["attention_head_dim": 8, "cross_attention_dim": 768, "use_linear_projection": false]),
        latents: .first, epsilon: Published(nativeSide: 64, scheduler: pndm),
        velocity: Published(nativeSide: 64, scheduler: pndm))

    public static let stableDiffusion2 = ModelFamily(
        name: "Stable Diffusion 2.x", pipeline: "StableDiffusion", unetMarks: ["use_linear_projection": true],
        kinds: [.sd2Turbo, .sd2],
        texts: [
            TextEncoder(
                naming: .openCLIP, prefixes: ["cond_stage_model.model.", turboTextPrefix],
                configuration: openCLIP(width: 1024, layers: 23, heads: 16, projection: nil), padding: "!",
                leavesOutLastLayer: true)
        ],
        unet: fourLevels.setting([
            "attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": true,
        ]),
        latents: .first, epsilon: Published(nativeSide: 64, scheduler: pndm),
        velocity: Published(nativeSide: 96, scheduler: ["_class_name": "DDIMScheduler"]),
        distilledTextPrefix: turboTextPrefix, guessedPrediction: .velocity,
        architectures: ["stable-diffusion-v2-768-v": .velocity, "stable-diffusion-v2-512": .epsilon])

    public static let stableDiffusionXL = ModelFamily(
        name: "Stable Diffusion XL", pipeline: "StableDiffusionXL", unetMarks: ["addition_embed_type": "text_time"],
        kinds: [.playground, .sdxlTurbo, .sdxl],
        hasPooledConditioning: true, hasSizeConditioning: true, normsText: false, defaultClipSkip: 2, zeroesEmptyPrompt: true,
        failsBelowNativeSize: true,
        texts: [
            TextEncoder(
                naming: .transformers, prefixes: ["conditioner.embedders.0.transformer."], configuration: clip,
                padding: "<|endoftext|>"),
            TextEncoder(
                naming: .openCLIP, prefixes: ["conditioner.embedders.1.model."],
                configuration: openCLIP(width: 1280, layers: 32, heads: 20, projection: 1280), padding: "!"),
        ],
        unet: [
            "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20],
            "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "projection_class_embeddings_input_dim": 2816, "transformer_layers_per_block": [1, 2, 10],
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "use_linear_projection": true,
        ],
        latents: .xl, epsilon: Published(nativeSide: 128, scheduler: euler(spacing: "leading")),
        velocity: Published(nativeSide: 128, scheduler: euler(spacing: "leading")),
        zeroSNRScheduler: "EulerDiscreteScheduler", isRepaired: false)
}

extension ModelKind {
    public static let sd1 = ModelKind(id: "sd1", title: "Stable Diffusion 1.x", hiDiffusion: .sd15)
    /// Stable Diffusion 2.x, base and 768-v.
    public static let sd2 = ModelKind(id: "sd2", title: "Stable Diffusion 2.x", hiDiffusion: .sd15)
    /// SD-Turbo, distilled from 2.1.
    public static let sd2Turbo = ModelKind(
        id: "sd2_turbo", title: "SD-Turbo",
        schedulers: ["EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"], isDistilled: true, steps: 4,
        guidanceScale: 1, hiDiffusion: .sd15)
    /// SDXL and its fine-tunes. Playground v2 looks the same, so a request must name its profile.
    public static let sdxl = ModelKind(
        id: "sdxl", title: "SDXL", guidanceScale: 7, hiDiffusion: .sdxl, inpaintingHiDiffusion: .sdxlInpainting)
    public static let sdxlTurbo = ModelKind(
        id: "sdxl_turbo", title: "SDXL-Turbo", schedulers: ["EulerAncestralDiscreteScheduler"], isDistilled: true, steps: 4,
        guidanceScale: 1, hiDiffusion: .sdxlTurbo)
    /// Playground v2.5: SDXL with an EDM scheduler.
    public static let playground = ModelKind(
        id: "playground", title: "Playground v2.5", schedulers: ["EDM"], guidanceScale: 3, hiDiffusion: .sdxlPlayground)
}

extension ModelFamily.LatentScale {
    static let first = ModelFamily.LatentScale(title: "Stable Diffusion 1.x or 2.x", factor: 0.18215)
    static let xl = ModelFamily.LatentScale(title: "Stable Diffusion XL", factor: 0.13025)
    /// These latents also have their own means and deviations.
    static let playground = ModelFamily.LatentScale(title: "Playground v2.5", factor: 0.5)
}

extension ModelFamily {
    /// The first U-Nets' shape.
    private static let fourLevels: JSONValue = [
        "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    ]

    private static let turboTextPrefix = "conditioner.embedders.0.model."

    private static let pndm: JSONValue = ["_class_name": "PNDMScheduler"]

    static func euler(spacing: JSONValue) -> JSONValue {
        [
            "_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "sample_max_value": 1.0,
            "timestep_spacing": spacing, "use_karras_sigmas": false,
        ]
    }

    /// CLIP ViT-L/14.
    private static let clip: JSONValue = [
        "architectures": ["CLIPTextModel"], "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "quick_gelu",
        "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
        "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
        "projection_dim": 768, "vocab_size": 49408,
    ]

    /// OpenCLIP's ViT-H/14 and ViT-bigG/14.
    private static func openCLIP(width: Int64, layers: Int64, heads: Int64, projection: Int64?) -> JSONValue {
        [
            "architectures": [projection == nil ? "CLIPTextModel" : "CLIPTextModelWithProjection"], "bos_token_id": 0,
            "eos_token_id": 2, "hidden_act": "gelu", "hidden_size": .integer(width), "intermediate_size": .integer(width * 4),
            "layer_norm_eps": 1e-5, "max_position_embeddings": 77, "model_type": "clip_text_model",
            "num_attention_heads": .integer(heads), "num_hidden_layers": .integer(layers), "pad_token_id": 1,
            "projection_dim": .integer(projection ?? 512), "vocab_size": 49408,
        ]
    }
}
