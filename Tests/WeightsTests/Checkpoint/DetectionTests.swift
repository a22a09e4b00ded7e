import EmbeddedModel
import Foundation
import StrictJSON
import TestSupport
import Testing
import Weights

/// A tensor of zeros.
private func zeros(_ name: String, _ shape: [Int]) -> FileTensor {
    FileTensor(name, "F16", shape, [UInt8](repeating: 0, count: shape.reduce(2, *)))
}

/// The few tensors by which a family is known. Tensors have their real sizes if the reader looks at these.
private enum Marks {
    static let unet = "model.diffusion_model."

    static func checkpoint(channels: Int = 4, context: Int, text: [String], label: Int? = nil) -> [FileTensor] {
        var tensors = [
            zeros(unet + "input_blocks.0.0.weight", [320, channels, 3, 3]),
            zeros(unet + "middle_block.1.transformer_blocks.0.attn2.to_k.weight", [1280, context]),
            zeros("first_stage_model.decoder.conv_in.weight", [512, 4, 3, 3]),
        ]
        if let label { tensors.append(zeros(unet + "label_emb.0.0.weight", [1280, label])) }
        return tensors + text.map { zeros($0, [2]) }
    }

    static let first = checkpoint(
        context: 768, text: ["cond_stage_model.transformer.text_model.final_layer_norm.weight"])
    static let second = checkpoint(
        context: 1024,
        text: ["cond_stage_model.model.ln_final.weight", "cond_stage_model.model.transformer.resblocks.23.ln_1.weight"])
    static let turbo =
        checkpoint(context: 1024, text: ["conditioner.embedders.0.model.transformer.resblocks.23.ln_1.weight"])
        + [zeros("conditioner.embedders.0.model.ln_final.weight", [1024])]
    static let xl = checkpoint(
        context: 2048,
        text: [
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
            "conditioner.embedders.1.model.ln_final.weight",
        ], label: 2816)
}

private let tiny1VAE = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15").path

/// A number of training steps.
private func steps(_ count: UInt64, _ type: String) -> FileTensor {
    let bytes = withUnsafeBytes(of: count.littleEndian) { Array($0.prefix(type == "I64" ? 8 : 4)) }
    return FileTensor("global_step", type, [], bytes)
}

private func open(
    _ tensors: [FileTensor], metadata: [String: String] = [:], _ change: (inout ModelChoice) -> Void = { _ in },
    _ body: (ModelSource) throws -> Void
) throws {
    try withTemporaryFolder { folder throws in
        // A name that says nothing, and one that lies.
        for name in ["x.safetensors", "sd_xl_refiner-inpainting-v-pred.safetensors"] {
            try folder.write(name, FileTensor.file(tensors, metadata: metadata))
            var choice = ModelChoice(path: folder.appendingPathComponent(name).path)
            change(&choice)
            try body(.open(choice))
        }
    }
}

@Suite struct DetectionTests {
    @Test func familiesAreKnownByTensors() throws {
        for (tensors, family, size, prediction) in [
            (Marks.first, ModelFamily.stableDiffusion1, 512, "epsilon"),
            (Marks.second, .stableDiffusion2, 768, "v_prediction"),
            (Marks.xl, .stableDiffusionXL, 1024, "epsilon"),
        ] {
            try open(tensors) { source in
                let summary = try ModelSummary(source)
                #expect(
                    summary.architecture.family == family && summary.architecture.nativeSize == size
                        && summary.architecture.predictionType == prediction)
                #expect(
                    summary.architecture.inputChannels == 4 && summary.architecture.latentChannels == 4
                        && !summary.hasLatentStatistics)
                #expect(
                    summary.components.map(\.types) == .init(repeating: ["F16"], count: family == .stableDiffusionXL ? 4 : 3))
            }
        }
    }

    @Test func inpaintingIsKnownByNineChannels() throws {
        let second = Marks.checkpoint(channels: 9, context: 1024, text: ["cond_stage_model.model.ln_final.weight"])
        try open(second) { source in
            let summary = try ModelSummary(source)
            // Stable Diffusion 2's inpainting model is of the 512 px kind.
            #expect(
                summary.architecture.nativeSize == 512 && summary.architecture.predictionType == "epsilon"
                    && summary.architecture.inputChannels == 9)
            #expect(summary.pipeline == "StableDiffusionInpaintPipeline")
        }
    }

    @Test func whatTheCheckpointSaysOfItselfCounts() throws {
        func summary(
            _ tensors: [FileTensor], _ metadata: [String: String] = [:], _ change: (inout ModelChoice) -> Void = { _ in }
        ) throws -> (prediction: String, size: Int?, scheduler: String) {
            var result: (String, Int?, String) = ("", nil, "")
            try open(tensors, metadata: metadata, change) {
                let summary = try ModelSummary($0)
                result = (summary.architecture.predictionType, summary.architecture.nativeSize, summary.scheduler)
            }
            return result
        }
        #expect(try summary(Marks.second, ["modelspec.prediction_type": "epsilon"]) == ("epsilon", 512, "PNDMScheduler"))
        #expect(try summary(Marks.second, ["modelspec.architecture": "stable-diffusion-v2-512"]).prediction == "epsilon")
        #expect(try summary(Marks.second, ["modelspec.resolution": "896x896"]).size == 896)
        for nonsense in ["896x512", "x", "-64", "99999999999999999999", "65"] {
            #expect(try summary(Marks.second, ["modelspec.resolution": nonsense]).size == 768)
        }
        #expect(try summary(Marks.second) { $0.prediction = .epsilon } == ("epsilon", 512, "PNDMScheduler"))
        for type in ["I64", "I32"] {
            let base = Marks.second + [steps(875_000, type)]
            #expect(try summary(base) == ("epsilon", 512, "PNDMScheduler"), "\(type)")
            #expect(try summary(base, ["modelspec.prediction_type": "v"]).prediction == "v_prediction")
        }
        #expect(try summary(Marks.second + [steps(140_000, "I64")]).prediction == "v_prediction")
        #expect(try summary(Marks.second + [zeros("global_step", [1])]).prediction == "v_prediction")
        #expect(try summary(Marks.xl + [zeros("v_pred", [1])]).prediction == "v_prediction")
        #expect(try summary(Marks.xl + [zeros("v_pred", [1])]) { $0.prediction = .epsilon }.prediction == "epsilon")
        let velocity = try summary(Marks.first, ["modelspec.prediction_type": "v"])
        #expect(velocity == ("v_prediction", 512, "PNDMScheduler"))
        try open(Marks.xl + [zeros("v_pred", [1]), zeros("ztsnr", [1])]) { source in
            let scheduler = try source.json("scheduler/scheduler_config.json")
            #expect(scheduler["rescale_betas_zero_snr"] == true && scheduler["timestep_spacing"] == "trailing")
        }
    }

    @Test func whatIsAssumedIsSaid() throws {
        func isNoted(_ source: ModelSource) throws -> Bool {
            try source.notes().contains { $0.contains("does not say what its U-Net predicts: v_prediction is assumed") }
        }
        func assumed(
            _ tensors: [FileTensor], _ metadata: [String: String] = [:], _ change: (inout ModelChoice) -> Void = { _ in }
        ) throws -> [Bool] {
            var result: [Bool] = []
            try open(tensors, metadata: metadata, change) { source throws in
                let summary = try ModelSummary(source)
                let isSaid = summary.lines.contains {
                    $0.1.contains("assumed: the file does not say; a base model needs the prediction type epsilon")
                }
                #expect(try isSaid == summary.isPredictionAssumed && isSaid == isNoted(source))
                #expect(summary.json["prediction_assumed"] == .bool(isSaid))
                // A prediction that is chosen later counts as well.
                #expect(try !isNoted(source.adjusted(vae: nil, prediction: .velocity)))
                #expect(try isNoted(source.adjusted(vae: tiny1VAE, prediction: nil)) == isSaid)
                result.append(isSaid)
            }
            return result
        }
        #expect(try assumed(Marks.second) == [true, true])
        #expect(try assumed(Marks.second + [steps(140_000, "I64")]) == [true, true])
        #expect(try assumed(Marks.second + [steps(875_000, "I64")]) == [false, false])
        #expect(try assumed(Marks.second, ["modelspec.prediction_type": "v"]) == [false, false])
        #expect(try assumed(Marks.second) { $0.prediction = .velocity } == [false, false])
        for others in [Marks.first, Marks.xl, Marks.turbo] { #expect(try assumed(others) == [false, false]) }
    }

    /// The names of Stable Diffusion 2's architectures mean nothing in files of other models, into which merging programs copy
    /// them.
    @Test func architecturesOfOtherFamiliesDoNotCount() throws {
        for (tensors, name, prediction) in [
            (Marks.first, "stable-diffusion-v2-768-v", "epsilon"), (Marks.xl, "stable-diffusion-v2-768-v", "epsilon"),
            (Marks.second, "stable-diffusion-v2-512", "epsilon"), (Marks.second, "Stable-Diffusion-v2-768-v", "v_prediction"),
            (Marks.second, "stable-diffusion-xl-v1-base", "v_prediction"),
        ] {
            try open(tensors, metadata: ["modelspec.architecture": name]) { source in
                let summary = try ModelSummary(source)
                #expect(summary.architecture.predictionType == prediction, "\(name)")
                #expect(
                    summary.isPredictionAssumed == (name.hasSuffix("base") && summary.architecture.family == .stableDiffusion2))
            }
        }
    }

    /// Notes tell of marks that change the sampling of a published model, but not of marks that only name the model.
    @Test func marksThatChangeTheSamplerAreTold() throws {
        let snr = FileTensor("ztsnr", "U8", [0], [])
        let velocity = zeros("v_pred", [1])
        let statistics = [
            FileTensor.f32("edm_mean", [0, 0, 0, 0], shape: [4]), FileTensor.f32("edm_std", [1, 1, 1, 1], shape: [4]),
        ]
        for (tensors, said) in [
            (Marks.first + [velocity, snr], "decides the sampler: it is \"DDIMScheduler\" with trailing timesteps"),
            (Marks.xl + [velocity, snr], "decides the sampler: it is \"EulerDiscreteScheduler\" with trailing timesteps"),
            (Marks.second + [velocity, snr], "decides the sampler: it is \"DDIMScheduler\" with trailing timesteps"),
            (Marks.first + [snr], "has no meaning for a U-Net that predicts noise"),
            (Marks.xl + statistics + [snr], "has no meaning for a model that was trained as EDM"),
            (Marks.xl + statistics, nil), (Marks.first + [velocity], nil), (Marks.xl, nil),
        ] as [([FileTensor], String?)] {
            try open(tensors) { source in
                let notes = try source.notes()
                #expect(notes == (said.map { ["the file's mark ztsnr, a last step of pure noise, \($0)"] } ?? []))
            }
        }
    }

    /// A number of training steps is left over, unless it tells the prediction of the U-Net.
    @Test func theNumberOfStepsIsLeftOverWhereItTellsNothing() throws {
        for (tensors, count, isListed) in [
            (Marks.second, 875_000, false), (Marks.second, 140_000, true), (Marks.first, 875_000, true),
            (Marks.xl, 875_000, true),
        ] as [([FileTensor], UInt64, Bool)] {
            try open(tensors + [steps(count, "I64")]) { source in
                let notes = try source.notes()
                let note = "holds 1 tensor (\"global_step\") that the model does not use"
                #expect(notes.contains { $0.hasSuffix(note) } == isListed, "\(notes)")
                #expect(notes.contains { $0.contains("global_step") } == isListed, "\(notes)")
            }
        }
    }

    /// The file holds Stable Diffusion 2's text encoder under XL's names, and no label embedding.
    @Test func turboIsStableDiffusion2() throws {
        try open(Marks.turbo) { source in
            let summary = try ModelSummary(source)
            #expect(
                summary.architecture.family == .stableDiffusion2 && summary.architecture.predictionType == "epsilon"
                    && summary.architecture.nativeSize == 512
            )
            #expect(summary.textEncoders.map(\.width) == [1024] && summary.textEncoders.map(\.layers) == [23])
            let scheduler = try source.json("scheduler/scheduler_config.json")
            #expect(scheduler["_class_name"] == "EulerDiscreteScheduler" && scheduler["timestep_spacing"] == "trailing")
            #expect(try source.weights(component: "text_encoder").contains("text_model.final_layer_norm.weight"))
        }
        let other = Marks.turbo.map { $0.name.hasSuffix("ln_final.weight") ? zeros($0.name, [1280]) : $0 }
        #expect(weightsError { try open(other) { _ in } }?.code == .unsupportedModel)
    }

    @Test func latentStatisticsMeanTheEDMScheduler() throws {
        let (mean, deviation): ([Float], [Float]) = ([-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299])
        let marks: [FileTensor] = [.f32("edm_mean", mean, shape: [1, 4, 1, 1]), .f32("edm_std", deviation, shape: [4])]
        try open(Marks.xl + marks) { source in
            let vae = try source.json("vae/config.json")
            #expect(vae["latents_mean"] == [-1.6574, 1.886, -1.383, 2.5155] && vae["scaling_factor"] == 0.5)
            #expect(vae["latents_std"] == [8.4927, 5.9022, 6.5498, 5.2299])
            let scheduler = try source.json("scheduler/scheduler_config.json")
            #expect(scheduler["_class_name"] == "EDMDPMSolverMultistepScheduler" && scheduler["sigma_data"] == 0.5)
        }
        for broken in [[marks[0]], [marks[0], .f32("edm_std", [1, 2, 3], shape: [3])], [marks[0], zeros("edm_std", [4])]] {
            #expect(weightsError { try open(Marks.xl + broken) { _ in } } != nil)
        }
    }

    @Test(arguments: [
        ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "Stable Diffusion 3"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "Flux"), ("double_blocks.0.img_attn.qkv.weight", "Flux"),
        ("adaln_single.linear.weight", "PixArt"), ("mlp_t5.0.weight", "Hunyuan"), ("clip_txt_mapper.weight", "Cascade"),
        ("model.diffusion_model.input_blocks.1.1.time_stack.0.norm1.weight", "Video"),
        ("control_model.zero_convs.0.0.weight", "ControlNet"),
        ("lora_unet_down_blocks_0.lora_down.weight", "LoRA"), ("unet.x.lora_A.weight", "LoRA"),
        ("down_blocks.0.resnets.0.conv1.weight", "U-Net only"), ("decoder.conv_in.weight", "autoencoder only"),
        ("something.else", "no Stable Diffusion checkpoint"),
    ])
    func otherFamiliesAreRefusedByName(tensor: String, name: String) throws {
        let error = try #require(weightsError { try open([zeros(tensor, [2, 2])]) { _ in } })
        #expect(error.code == .unsupportedModel && error.message.contains(name), "\(error)")
    }

    @Test func kinOfTheFamiliesAreRefusedByName() throws {
        func message(_ tensors: [FileTensor]) -> String { weightsError { try open(tensors) { _ in } }?.message ?? "" }
        let refiner = Marks.checkpoint(context: 1280, text: ["conditioner.embedders.0.model.ln_final.weight"], label: 2560)
        #expect(message(refiner).contains("refiner"))
        #expect(message(Marks.second + [zeros(Marks.unet + "label_emb.0.0.weight", [1280, 1536])]).contains("unCLIP"))
        for (channels, kind) in [(5, "depth"), (7, "upscaling"), (8, "InstructPix2Pix"), (3, "3 channels")] {
            let text = ["cond_stage_model.transformer.text_model.final_layer_norm.weight"]
            #expect(message(Marks.checkpoint(channels: channels, context: 768, text: text)).contains(kind))
        }
        #expect(message(Marks.checkpoint(context: 768, text: [])).contains("text encoder"))
        #expect(message(Marks.xl.dropLast()).contains("text encoders"))
        #expect(message(Marks.first.filter { !$0.name.hasPrefix("first_stage") }).contains("vae"))
        #expect(message(Marks.checkpoint(context: 640, text: [Marks.first[3].name])).contains("--model-config"))
    }

    /// The error for a file with several networks calls none of them the only one, and tells the place of the U-Net.
    @Test(arguments: [
        (["diffusion_model.input_blocks.0.0.weight"], "with its U-Net under \"diffusion_model.\""),
        (["diffusion_model.down_blocks.0.resnets.0.conv1.weight"], "with its U-Net under \"diffusion_model.\""),
        (["model_ema.diffusion_modelinput_blocks00weight"], "with its U-Net under \"model_ema.\""),
        (["unet.down_blocks.0.resnets.0.conv1.weight"], "with its U-Net under \"unet.\""),
        (["down_blocks.0.resnets.0.conv1.weight"], "with its U-Net under no prefix"),
        (["encoder.down_blocks.0.resnets.0.conv1.weight"], "is an autoencoder and a text encoder, without a U-Net"),
    ])
    func partsBesideOthersAreNotTheOnlyOnes(unet: [String], mention: String) throws {
        let rest = ["cond_stage_model.transformer.text_model.encoder.layers.0.layer_norm1.weight"]
        for vae in ["first_stage_model.decoder.conv_in.weight", "vae.decoder.conv_in.weight"] {
            let error = weightsError { try open((unet + rest + [vae]).map { zeros($0, [2]) }) { _ in } }
            let message = error?.message ?? "nothing is refused"
            #expect(error?.code == .unsupportedModel && message.contains(mention), "\(message)")
            #expect(
                message.contains("write \"model.diffusion_model.\" for \"diffusion_model.\" in the names")
                    == unet[0].hasPrefix("diffusion_model.input_blocks."), "\(message)")
            #expect(!message.contains(" only") && message.contains("under \"model.diffusion_model.\""), "\(message)")
        }
    }

    @Test(arguments: [
        ("diffusion_model.input_blocks.0.0.weight", "a U-Net only"), ("unet.down_blocks.0.x", "a U-Net only"),
        ("vae.decoder.conv_in.weight", "an autoencoder only"), ("vae.decoder.up.0.block.0.norm1.bias", "an autoencoder only"),
        ("text_encoder.text_model.embeddings.token_embedding.weight", "a text encoder only"),
        ("other.down_blocks.0.x", "no Stable Diffusion checkpoint"),
    ])
    func partsAloneAreNamedWhateverStandsBeforeThem(name: String, mention: String) throws {
        let message = weightsError { try open([zeros(name, [2])]) { _ in } }?.message
        #expect(message?.contains(mention) == true, "\(message ?? "nothing is refused")")
    }

    /// Text encoders in transformers' names and OpenCLIP's, as saved and with a program's words before the names.
    @Test(arguments: [
        ["text_model.encoder.layers.0.layer_norm1.weight", "text_model.final_layer_norm.weight"],
        ["text_model.embeddings.position_ids"], ["transformer.resblocks.0.ln_1.weight", "ln_final.weight"],
        ["module.text_model.encoder.layers.0.layer_norm1.weight"], ["cond_stage_model.transformer.resblocks.0.ln_1.weight"],
    ])
    func textEncodersAloneAreNamed(names: [String]) throws {
        let error = weightsError { try open(names.map { zeros($0, [2]) }) { _ in } }
        #expect(
            error?.code == .unsupportedModel && error?.message.contains("is a text encoder only") == true, "\(error as Any)")
        // Beside a U-Net it is a part of the model.
        let whole = weightsError { try open(Marks.first + names.map { zeros($0, [2]) }) { _ in } }
        #expect(whole?.message.contains("text encoder only") != true)
    }

    @Test(arguments: ["model.ckpt", "model.pt", "model.bin", "MODEL.CKPT"])
    func picklesAreRefused(name: String) throws {
        try withTemporaryFolder { folder throws in
            try folder.write(name, [0x80, 2, 0x7D, 0x71, 0, 0x2E])
            let error = weightsError { _ = try ModelSource.open(ModelChoice(path: folder.appendingPathComponent(name).path)) }
            #expect(error?.code == .unsupportedFormat && error?.message.contains("pickle") == true, "\(error as Any)")
        }
    }

    /// The layer that Stable Diffusion 2 leaves out does not count, whether the file has it or not.
    @Test(arguments: [21, 22, 23])
    func textLayersOfStableDiffusion2(last: Int) throws {
        let text = [
            "cond_stage_model.model.ln_final.weight", "cond_stage_model.model.transformer.resblocks.\(last).ln_1.weight",
        ]
        try open(Marks.checkpoint(context: 1024, text: text)) { source throws in
            #expect(try source.json("text_encoder/config.json")["num_hidden_layers"] == (last == 21 ? 22 : 23))
        }
    }

    @Test func theVocabularyIsCLIPs() throws {
        let json = try JSONValue(parsing: CLIPVocabulary.vocabulary, limits: .config)
        #expect(json.objectValue?.count == 49408)
        for (token, id) in [
            ("!", 0), ("a</w>", 320), ("photo</w>", 1125), ("of</w>", 539), ("cat</w>", 2368), ("<|startoftext|>", 49406),
            ("<|endoftext|>", 49407), ("\\", 59), ("\"", 1), ("Ā", 188), ("ł</w>", 510), ("Ń</w>", 511), ("jekyll</w>", 49405),
        ] as [(String, Int)] {
            #expect(json[token]?.intValue == id, "\(token)")
        }
    }

    @Test(.enabled(if: Fixtures.sharedGolden != nil, "the published file is not at hand"))
    func theVocabularyIsThePublishedOne() throws {
        let json = try JSONValue(parsing: CLIPVocabulary.vocabulary, limits: .config)
        let file = try #require(Fixtures.sharedGolden).deletingLastPathComponent().appendingPathComponent(
            "data/clip-bpe/vocab.json")
        #expect(try JSONValue(parsing: [UInt8](Data(contentsOf: file)), limits: .config) == json)
    }
}

/// Names as they stand in the published files, written down and not derived.
@Suite struct PublishedNamesTests {
    private static let (unet, vae, text) = ("unet", "vae", "text_encoder")

    /// - Parameter names: by component, a name in the file and the one in a model folder.
    private func expect(_ marks: [FileTensor], _ names: [(component: String, file: String, folder: String)]) throws {
        let known = Set(marks.map(\.name))
        let new = Set(names.map(\.file)).subtracting(known).sorted()
        let tensors = new.map { zeros($0, $0.contains("in_proj_") ? [6] : $0.hasSuffix("projection") ? [2, 2] : [2]) }
        try open(marks + tensors) { source throws in
            for (component, file, folder) in names {
                #expect(try source.weights(component: component).contains(folder), "\(file) is \(component)/\(folder)")
            }
        }
    }

    @Test func ofStableDiffusion1() throws {
        let (unet, vae) = ("model.diffusion_model.", "first_stage_model.")
        try expect(
            Marks.first,
            [
                (Self.unet, unet + "input_blocks.1.0.in_layers.0.weight", "down_blocks.0.resnets.0.norm1.weight"),
                (
                    Self.unet, unet + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
                ),
                (Self.unet, unet + "input_blocks.3.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"),
                (Self.unet, unet + "input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"),
                (Self.unet, unet + "middle_block.1.proj_in.weight", "mid_block.attentions.0.proj_in.weight"),
                (Self.unet, unet + "output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
                (
                    Self.unet, unet + "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.weight",
                    "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.weight"
                ),
                (Self.unet, unet + "time_embed.0.weight", "time_embedding.linear_1.weight"),
                (Self.unet, unet + "out.2.bias", "conv_out.bias"),
                (Self.vae, vae + "encoder.down.0.downsample.conv.weight", "encoder.down_blocks.0.downsamplers.0.conv.weight"),
                (Self.vae, vae + "encoder.mid.block_2.conv1.weight", "encoder.mid_block.resnets.1.conv1.weight"),
                (Self.vae, vae + "decoder.up.3.upsample.conv.weight", "decoder.up_blocks.0.upsamplers.0.conv.weight"),
                (
                    Self.vae, vae + "decoder.up.0.block.0.nin_shortcut.weight",
                    "decoder.up_blocks.3.resnets.0.conv_shortcut.weight"
                ),
                (Self.vae, vae + "decoder.mid.attn_1.q.weight", "decoder.mid_block.attentions.0.to_q.weight"),
                (Self.vae, vae + "decoder.norm_out.weight", "decoder.conv_norm_out.weight"),
                (Self.vae, vae + "post_quant_conv.weight", "post_quant_conv.weight"),
                (
                    Self.text, "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight",
                    "text_model.encoder.layers.11.mlp.fc1.weight"
                ),
            ])
    }

    @Test func ofStableDiffusion2() throws {
        let (unet, text) = ("model.diffusion_model.", "cond_stage_model.model.")
        let block = text + "transformer.resblocks.7."
        let layer = "text_model.encoder.layers.7."
        try expect(
            Marks.second,
            [
                (Self.unet, unet + "input_blocks.8.1.proj_out.weight", "down_blocks.2.attentions.1.proj_out.weight"),
                (Self.unet, unet + "middle_block.2.out_layers.3.weight", "mid_block.resnets.1.conv2.weight"),
                (Self.unet, unet + "output_blocks.3.1.norm.weight", "up_blocks.1.attentions.0.norm.weight"),
                (Self.unet, unet + "output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"),
                (Self.text, text + "token_embedding.weight", "text_model.embeddings.token_embedding.weight"),
                (Self.text, text + "positional_embedding", "text_model.embeddings.position_embedding.weight"),
                (Self.text, text + "ln_final.weight", "text_model.final_layer_norm.weight"),
                (Self.text, block + "attn.in_proj_weight", layer + "self_attn.q_proj.weight"),
                (Self.text, block + "attn.in_proj_weight", layer + "self_attn.k_proj.weight"),
                (Self.text, block + "attn.in_proj_bias", layer + "self_attn.v_proj.bias"),
                (Self.text, block + "attn.out_proj.weight", layer + "self_attn.out_proj.weight"),
                (Self.text, block + "ln_1.weight", layer + "layer_norm1.weight"),
                (Self.text, block + "ln_2.bias", layer + "layer_norm2.bias"),
                (Self.text, block + "mlp.c_fc.weight", layer + "mlp.fc1.weight"),
                (Self.text, block + "mlp.c_proj.bias", layer + "mlp.fc2.bias"),
            ])
    }

    @Test func ofStableDiffusionXL() throws {
        let (unet, second) = ("model.diffusion_model.", "conditioner.embedders.1.model.")
        try expect(
            Marks.xl,
            [
                (Self.unet, unet + "label_emb.0.0.weight", "add_embedding.linear_1.weight"),
                (Self.unet, unet + "label_emb.0.2.bias", "add_embedding.linear_2.bias"),
                (
                    Self.unet, unet + "input_blocks.4.1.transformer_blocks.1.attn1.to_out.0.weight",
                    "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_out.0.weight"
                ),
                (Self.unet, unet + "input_blocks.6.0.op.weight", "down_blocks.1.downsamplers.0.conv.weight"),
                (
                    Self.unet, unet + "input_blocks.7.1.transformer_blocks.9.norm3.weight",
                    "down_blocks.2.attentions.0.transformer_blocks.9.norm3.weight"
                ),
                (
                    Self.unet, unet + "middle_block.1.transformer_blocks.9.ff.net.2.weight",
                    "mid_block.attentions.0.transformer_blocks.9.ff.net.2.weight"
                ),
                (Self.unet, unet + "output_blocks.2.2.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
                (Self.unet, unet + "output_blocks.3.1.proj_in.weight", "up_blocks.1.attentions.0.proj_in.weight"),
                (Self.unet, unet + "output_blocks.8.0.skip_connection.weight", "up_blocks.2.resnets.2.conv_shortcut.weight"),
                (
                    Self.text, "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.k_proj.weight",
                    "text_model.encoder.layers.0.self_attn.k_proj.weight"
                ),
                ("text_encoder_2", second + "positional_embedding", "text_model.embeddings.position_embedding.weight"),
                ("text_encoder_2", second + "text_projection", "text_projection.weight"),
                (
                    "text_encoder_2", second + "transformer.resblocks.31.mlp.c_proj.weight",
                    "text_model.encoder.layers.31.mlp.fc2.weight"
                ),
                (
                    "text_encoder_2", second + "transformer.resblocks.5.attn.in_proj_bias",
                    "text_model.encoder.layers.5.self_attn.q_proj.bias"
                ),
            ])
    }
}
