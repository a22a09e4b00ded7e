import EmbeddedModel
import StrictJSON

/// The configuration files of the published models, for checkpoints in a single file, which have none: numbers of heads and
/// groups, sizes and the scheduler's tables cannot be read off weights. They are those of the models' folders in diffusers'
/// layout: Stable Diffusion 1.5, 2.1 (768 px, v), 2.1 base (512 px, epsilon), XL base, their inpainting variants, SD-Turbo, and
/// Playground v2.5.
///
/// Where a checkpoint does not say what it predicts, Stable Diffusion 2.x is assumed to predict v at 768 px, and its inpainting
/// variant epsilon at 512 px; everything else predicts epsilon. For 2.x that is a guess, since most files of its 512 px base
/// say nothing either, and people are told so: see `ModelSource.assumptionNote`.
struct PublishedConfiguration {
    let traits: CheckpointTraits
    /// What the U-Net predicts: as asked for, else as the checkpoint says, else as above.
    let prediction: UNetPrediction
    /// Whether that is a guess.
    let isPredictionAssumed: Bool

    init(_ traits: CheckpointTraits, prediction: UNetPrediction?) {
        self.traits = traits
        let isEither = traits.family == .stableDiffusion2 && traits.inputChannels == 4
        let known = prediction ?? traits.marks.prediction ?? traits.marks.likelyPrediction ?? (traits.isTurbo ? .epsilon : nil)
        self.prediction = known ?? (isEither ? .velocity : .epsilon)
        isPredictionAssumed = isEither && known == nil
    }

    private var isXL: Bool { traits.family == .stableDiffusionXL }
    private var isSecond: Bool { traits.family == .stableDiffusion2 }

    /// Native side in pixels.
    private var nativeSize: Int {
        PublishedConfiguration.nativeSize(traits.family, predictsVelocity: prediction == .velocity)
    }

    /// Native side in pixels of a family's published base model.
    static func nativeSize(_ family: CheckpointFamily, predictsVelocity: Bool) -> Int {
        switch family {
        case .stableDiffusion1: 512
        case .stableDiffusion2: predictsVelocity ? 768 : 512
        case .stableDiffusionXL: 1024
        }
    }

    /// Throws `.unsupportedModel` when the file's networks have other sizes than the published ones; its own would be guesses.
    func check(_ file: SafetensorsFile) throws(WeightsError) {
        let unet = CheckpointTraits.unetPrefix
        let sizes: [(key: String, shape: [Int])] = [
            (unet + "input_blocks.0.0.weight", [320, traits.inputChannels, 3, 3]),
            (unet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight", [1280, isXL ? 2048 : isSecond ? 1024 : 768]),
            (unet + "label_emb.0.0.weight", [1280, 2816]), ("first_stage_model.decoder.conv_in.weight", [512, 4, 3, 3]),
            (CheckpointTraits.turboTextPrefix + "ln_final.weight", [1024]),
        ]
        for (key, shape) in sizes {
            guard let found = file.tensors[key]?.shape, found != shape else { continue }
            throw WeightsError(
                .unsupportedModel,
                "\(file.name) has other sizes than any published \(traits.family.rawValue) model (\(key) is \(described(found)), there \(shape)); "
                    + "name a model folder with its configuration by --model-config.")
        }
    }

    /// All files by path below the model's folder.
    ///
    /// - Parameter textLayers: layers of Stable Diffusion 2's text encoder.
    func files(textLayers: Int) -> [String: [UInt8]] {
        let marks = traits.marks
        var files = [
            "model_index.json": pipeline.canonicalBytes(), "unet/config.json": marks.unet(unet).canonicalBytes(),
            "vae/config.json": marks.vae(vae).canonicalBytes(),
            "scheduler/scheduler_config.json": markedScheduler.canonicalBytes(),
            "text_encoder/config.json": isSecond
                ? PublishedConfiguration.openCLIP(width: 1024, layers: textLayers, heads: 16, projection: nil).canonicalBytes()
                : PublishedConfiguration.clip.canonicalBytes(),
        ]
        PublishedConfiguration.addTokenizer("tokenizer", padding: isSecond ? "!" : "<|endoftext|>", to: &files)
        if isXL {
            files["text_encoder_2/config.json"] =
                PublishedConfiguration.openCLIP(width: 1280, layers: 32, heads: 20, projection: 1280).canonicalBytes()
            PublishedConfiguration.addTokenizer("tokenizer_2", padding: "!", to: &files)
        }
        return files
    }

    private var pipeline: JSONValue {
        let name = "StableDiffusion\(isXL ? "XL" : "")\(traits.inputChannels == 9 ? "Inpaint" : "")Pipeline"
        var index: JSONValue = [
            "_class_name": .string(name), "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
            "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
            "scheduler": ["diffusers", markedScheduler["_class_name"] ?? .null],
        ]
        if isXL {
            index = index.setting([
                "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
                "tokenizer_2": ["transformers", "CLIPTokenizer"], "force_zeros_for_empty_prompt": true,
            ])
        }
        return index
    }
}

extension PublishedConfiguration {
    private var unet: JSONValue {
        let cross: JSONValue = "CrossAttnDownBlock2D"
        let up: JSONValue = "CrossAttnUpBlock2D"
        let common: JSONValue = [
            "_class_name": "UNet2DConditionModel", "act_fn": "silu", "center_input_sample": false, "downsample_padding": 1,
            "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": .integer(Int64(traits.inputChannels)),
            "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-5, "norm_num_groups": 32, "out_channels": 4,
            "sample_size": .integer(Int64(nativeSize / 8)),
        ]
        guard !isXL else {
            return common.setting([
                "addition_embed_type": "text_time", "addition_time_embed_dim": 256, "attention_head_dim": [5, 10, 20],
                "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048,
                "down_block_types": ["DownBlock2D", cross, cross], "projection_class_embeddings_input_dim": 2816,
                "transformer_layers_per_block": [1, 2, 10], "up_block_types": [up, up, "UpBlock2D"],
                "use_linear_projection": true,
            ])
        }
        return common.setting([
            "attention_head_dim": isSecond ? [5, 10, 20, 20] : 8, "block_out_channels": [320, 640, 1280, 1280],
            "cross_attention_dim": isSecond ? 1024 : 768, "down_block_types": [cross, cross, cross, "DownBlock2D"],
            "up_block_types": ["UpBlock2D", up, up, up], "use_linear_projection": .bool(isSecond),
        ])
    }

    private var vae: JSONValue {
        let (down, up): (JSONValue, JSONValue) = ("DownEncoderBlock2D", "UpDecoderBlock2D")
        let sample: Int64 = isXL ? 1024 : isSecond ? 768 : 512
        let common: JSONValue = [
            "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
            "down_block_types": [down, down, down, down], "in_channels": 3, "latent_channels": 4, "layers_per_block": 2,
            "norm_num_groups": 32, "out_channels": 3, "sample_size": .integer(sample),
            "up_block_types": [up, up, up, up],
        ]
        return common.setting(["scaling_factor": isXL ? 0.13025 : 0.18215])
    }

    private var markedScheduler: JSONValue { traits.marks.scheduler(scheduler, traits.family, option: prediction) }

    /// What is said of the file's marks. Marks of EDM say which published model it is, whose sampler it has then.
    var markNotes: [String] {
        let base = traits.marks.latentStatistics == nil ? scheduler : markedScheduler
        return traits.marks.samplerNotes(from: base, to: markedScheduler)
    }

    /// Playground v2.5's.
    static let edmScheduler: JSONValue = [
        "_class_name": "EDMDPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++", "dynamic_thresholding_ratio": 0.995,
        "euler_at_final": false, "final_sigmas_type": "zero", "lower_order_final": true, "num_train_timesteps": 1000,
        "prediction_type": "epsilon", "rho": 7.0, "sample_max_value": 1.0, "sigma_data": 0.5, "sigma_max": 80.0,
        "sigma_min": 0.002, "solver_order": 2, "solver_type": "midpoint", "thresholding": false,
    ]

    private var scheduler: JSONValue {
        var scheduler: JSONValue = [
            "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
            "num_train_timesteps": 1000, "prediction_type": .string(prediction.rawValue), "set_alpha_to_one": false,
            "skip_prk_steps": true, "steps_offset": 1, "trained_betas": .null,
        ]
        if isXL || traits.isTurbo {
            scheduler = scheduler.setting([
                "_class_name": "EulerDiscreteScheduler", "interpolation_type": "linear", "sample_max_value": 1.0,
                "timestep_spacing": isXL ? "leading" : "trailing", "use_karras_sigmas": false,
            ])
        } else {
            let isVelocity = isSecond && prediction == .velocity
            scheduler = scheduler.setting(["_class_name": isVelocity ? "DDIMScheduler" : "PNDMScheduler"])
        }
        return scheduler
    }

    /// CLIP ViT-L/14.
    private static let clip: JSONValue = [
        "architectures": ["CLIPTextModel"], "bos_token_id": 0, "eos_token_id": 2, "hidden_act": "quick_gelu",
        "hidden_size": 768, "intermediate_size": 3072, "layer_norm_eps": 1e-5, "max_position_embeddings": 77,
        "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1,
        "projection_dim": 768, "vocab_size": 49408,
    ]

    /// OpenCLIP's ViT-H/14 and ViT-bigG/14.
    private static func openCLIP(width: Int64, layers: Int, heads: Int64, projection: Int64?) -> JSONValue {
        [
            "architectures": [projection == nil ? "CLIPTextModel" : "CLIPTextModelWithProjection"], "bos_token_id": 0,
            "eos_token_id": 2, "hidden_act": "gelu", "hidden_size": .integer(width), "intermediate_size": .integer(width * 4),
            "layer_norm_eps": 1e-5, "max_position_embeddings": 77, "model_type": "clip_text_model",
            "num_attention_heads": .integer(heads), "num_hidden_layers": .integer(Int64(layers)), "pad_token_id": 1,
            "projection_dim": .integer(projection ?? 512), "vocab_size": 49408,
        ]
    }

    /// CLIP's tokenizer; only what fills short prompts differs.
    private static func addTokenizer(_ folder: String, padding: String, to files: inout [String: [UInt8]]) {
        func token(_ content: JSONValue) -> JSONValue {
            ["content": content, "lstrip": false, "normalized": true, "rstrip": false, "single_word": false]
        }
        let tokens: JSONValue = [
            "bos_token": token("<|startoftext|>"), "eos_token": token("<|endoftext|>"),
            "unk_token": token("<|endoftext|>"), "pad_token": .string(padding),
        ]
        let configuration = tokens.setting([
            "add_prefix_space": false, "do_lower_case": true, "errors": "replace", "model_max_length": 77,
            "tokenizer_class": "CLIPTokenizer",
        ])
        files[folder + "/special_tokens_map.json"] = tokens.canonicalBytes()
        files[folder + "/tokenizer_config.json"] = configuration.canonicalBytes()
        files[folder + "/vocab.json"] = CLIPVocabulary.vocabulary
        files[folder + "/merges.txt"] = Array(CLIPVocabulary.merges)
    }
}

extension JSONValue {
    /// The object with these members set; of another kind, the value itself.
    func setting(_ members: JSONValue) -> JSONValue {
        guard var object = objectValue, let members = members.objectValue else { return self }
        for (key, value) in members { object[key] = value }
        return .object(object)
    }
}
