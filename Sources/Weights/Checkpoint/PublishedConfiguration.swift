import EmbeddedModel
import Sentences
import StrictJSON

/// The configuration files of the published models, for single-file checkpoints. These have none, and their weights do not show
/// the numbers of heads and groups, the sizes, and the tables of the scheduler. The files agree with the models' folders in
/// diffusers' layout: Stable Diffusion 1.5, 2.1 (768 px, v), 2.1 base (512 px, epsilon), XL base, their inpainting variants,
/// SD-Turbo, and Playground v2.5.
///
/// If a checkpoint does not say what it predicts, Stable Diffusion 2.x is assumed to predict v at 768 px, and its inpainting
/// variant epsilon at 512 px; all other models predict epsilon. For 2.x this is a guess, because most files of the 512 px base
/// model do not say that they predict epsilon. `ModelSource.assumptionNote` tells the user.
struct PublishedConfiguration {
    let traits: CheckpointTraits
    /// The U-Net's prediction: the user's choice, else the checkpoint's, else as above.
    let prediction: UNetPrediction
    let isPredictionAssumed: Bool

    init(_ traits: CheckpointTraits, prediction: UNetPrediction?) {
        self.traits = traits
        let guess = traits.inputChannels == 4 && !traits.isDistilled ? traits.family.guessedPrediction : nil
        let known = prediction ?? traits.marks.prediction ?? traits.marks.likelyPrediction
        self.prediction = known ?? guess ?? .epsilon
        isPredictionAssumed = guess != nil && known == nil
    }

    private var family: ModelFamily { traits.family }
    private var published: ModelFamily.Published { family.published(predicting: prediction) }

    /// Throws `.unsupportedModel` if the networks have other sizes than the published ones: their numbers would be guesses.
    func check(_ file: SafetensorsFile) throws(WeightsError) {
        let unet = CheckpointTraits.unetPrefix
        let (first, last) = (family.channels[0], family.channels[family.channels.count - 1])
        let vae = CheckpointTraits.vaePrefix
        var sizes: [(key: String, shape: [Int])] = [
            (unet + "input_blocks.0.0.weight", [first, traits.inputChannels, 3, 3]),
            (unet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight", [last, family.textWidth]),
            (vae + "decoder.conv_in.weight", [512, 4, 3, 3]),
        ]
        if let width = family.unet["projection_class_embeddings_input_dim"]?.intValue {
            sizes.append((unet + "label_emb.0.0.weight", [4 * first, width]))
        }
        if let prefix = family.distilledTextPrefix { sizes.append((prefix + "ln_final.weight", [family.textWidth])) }
        for (key, shape) in sizes {
            guard let found = file.tensors[key]?.shape, found != shape else { continue }
            throw .unsupportedModel(
                "\(file.name) has other sizes than any published \(family.name) model (\(key) is \(described(found)), not \(shape)); "
                    + "name a model folder with its configuration by \(.modelConfig).")
        }
    }

    /// All files by path below the model's folder, for a checkpoint or for the published model itself (nil).
    func files(of checkpoint: SafetensorsFile? = nil) -> [String: [UInt8]] {
        let marks = traits.marks
        var files = [
            "model_index.json": pipeline.canonicalBytes(), "unet/config.json": marks.unet(unet, vae: vae).canonicalBytes(),
            "vae/config.json": marks.vae(vae).canonicalBytes(),
            "scheduler/scheduler_config.json": markedScheduler.canonicalBytes(),
        ]
        for (index, encoder) in family.texts.enumerated() {
            var configuration = encoder.configuration
            if encoder.leavesOutLastLayer, let checkpoint {
                let layers = Checkpoint.textLayers(checkpoint, encoder)
                configuration = configuration.setting(["num_hidden_layers": .integer(Int64(layers))])
            }
            files[ModelFamily.textEncoders[index] + "/config.json"] = configuration.canonicalBytes()
            PublishedConfiguration.addTokenizer(ModelFamily.tokenizers[index], padding: encoder.padding, to: &files)
        }
        return files
    }

    private var pipeline: JSONValue {
        let name = family.pipeline + (traits.inputChannels == 9 ? "Inpaint" : "") + "Pipeline"
        var index: JSONValue = [
            "_class_name": .string(name), "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
            "scheduler": ["diffusers", markedScheduler["_class_name"] ?? .null],
        ]
        for (place, encoder) in family.texts.enumerated() {
            let name = encoder.configuration["architectures"]?.arrayValue?.first ?? .null
            index = index.setting([
                ModelFamily.textEncoders[place]: ["transformers", name],
                ModelFamily.tokenizers[place]: ["transformers", "CLIPTokenizer"],
            ])
        }
        if family.zeroesEmptyPrompt { index = index.setting(["force_zeros_for_empty_prompt": true]) }
        return index
    }
}

extension PublishedConfiguration {
    private var unet: JSONValue {
        let common: JSONValue = [
            "_class_name": "UNet2DConditionModel", "act_fn": "silu", "center_input_sample": false, "downsample_padding": 1,
            "flip_sin_to_cos": true, "freq_shift": 0, "in_channels": .integer(Int64(traits.inputChannels)),
            "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-5, "norm_num_groups": 32, "out_channels": 4,
            "sample_size": .integer(Int64(published.nativeSide)),
        ]
        return common.setting(family.unet)
    }

    private var vae: JSONValue {
        let (down, up): (JSONValue, JSONValue) = ("DownEncoderBlock2D", "UpDecoderBlock2D")
        let common: JSONValue = [
            "_class_name": "AutoencoderKL", "act_fn": "silu", "block_out_channels": [128, 256, 512, 512],
            "down_block_types": [down, down, down, down], "in_channels": 3, "latent_channels": 4, "layers_per_block": 2,
            "norm_num_groups": 32, "out_channels": 3, "scaling_factor": .number(family.latents.factor),
            "up_block_types": [up, up, up, up],
        ]
        let size = family.velocity.nativeSide * ModelArchitecture.scaleFactor(vae: common)
        return common.setting(["sample_size": .integer(Int64(size))])
    }

    private var markedScheduler: JSONValue { traits.marks.scheduler(scheduler, family, option: prediction) }

    /// Notes on the file's marks. With marks of EDM the published model is Playground v2.5, whose sampler needs no note.
    var markNotes: [String] {
        let base = traits.marks.latentStatistics == nil ? scheduler : markedScheduler
        return traits.marks.samplerNotes(from: base, to: markedScheduler)
    }

    /// The scheduler of Playground v2.5.
    static let edmScheduler: JSONValue = [
        "_class_name": "EDMDPMSolverMultistepScheduler", "algorithm_type": "dpmsolver++", "dynamic_thresholding_ratio": 0.995,
        "euler_at_final": false, "final_sigmas_type": "zero", "lower_order_final": true, "num_train_timesteps": 1000,
        "prediction_type": "epsilon", "rho": 7.0, "sample_max_value": 1.0, "sigma_data": 0.5, "sigma_max": 80.0,
        "sigma_min": 0.002, "solver_order": 2, "solver_type": "midpoint", "thresholding": false,
    ]

    private var scheduler: JSONValue {
        let common: JSONValue = [
            "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
            "num_train_timesteps": 1000, "prediction_type": .string(prediction.rawValue), "set_alpha_to_one": false,
            "skip_prk_steps": true, "steps_offset": 1, "trained_betas": .null,
        ]
        return common.setting(traits.isDistilled ? ModelFamily.euler(spacing: "trailing") : published.scheduler)
    }

    /// Adds CLIP's tokenizer. Only the token that fills short prompts differs.
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
