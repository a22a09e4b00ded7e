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

/// The few tensors by which a family is known, in their real sizes where those are looked at.
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
    static let xl = checkpoint(
        context: 2048,
        text: [
            "conditioner.embedders.0.transformer.text_model.final_layer_norm.weight",
            "conditioner.embedders.1.model.ln_final.weight",
        ], label: 2816)
}

private func open(
    _ tensors: [FileTensor], metadata: [String: String] = [:], _ change: (inout ModelRecipe) -> Void = { _ in },
    _ body: (ModelSource) throws -> Void
) throws {
    try withTemporaryFolder { folder throws in
        // A name that says nothing, and one that lies.
        for name in ["x.safetensors", "sd_xl_refiner-inpainting-v-pred.safetensors"] {
            try folder.write(name, FileTensor.file(tensors, metadata: metadata))
            var recipe = ModelRecipe(path: folder.appendingPathComponent(name).path)
            change(&recipe)
            try body(.open(recipe))
        }
    }
}

@Suite struct DetectionTests {
    @Test func familiesAreKnownByTensors() throws {
        for (tensors, family, size, prediction) in [
            (Marks.first, CheckpointFamily.stableDiffusion1, 512, "epsilon"),
            (Marks.second, .stableDiffusion2, 768, "v_prediction"),
            (Marks.xl, .stableDiffusionXL, 1024, "epsilon"),
        ] {
            try open(tensors) { source in
                let summary = try ModelSummary(source)
                #expect(summary.family == family && summary.nativeSize == size && summary.prediction == prediction)
                #expect(summary.inputChannels == 4 && summary.latentChannels == 4 && !summary.hasLatentStatistics)
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
            #expect(summary.nativeSize == 512 && summary.prediction == "epsilon" && summary.inputChannels == 9)
            #expect(summary.pipeline == "StableDiffusionInpaintPipeline")
        }
    }

    @Test func whatTheCheckpointSaysOfItselfCounts() throws {
        func summary(
            _ tensors: [FileTensor], _ metadata: [String: String] = [:], _ change: (inout ModelRecipe) -> Void = { _ in }
        ) throws -> (prediction: String, size: Int?, scheduler: String) {
            var result: (String, Int?, String) = ("", nil, "")
            try open(tensors, metadata: metadata, change) {
                let summary = try ModelSummary($0)
                result = (summary.prediction, summary.nativeSize, summary.scheduler)
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
        #expect(try summary(Marks.xl + [zeros("v_pred", [1])]).prediction == "v_prediction")
        #expect(try summary(Marks.xl + [zeros("v_pred", [1])]) { $0.prediction = .epsilon }.prediction == "epsilon")
        let velocity = try summary(Marks.first, ["modelspec.prediction_type": "v"])
        #expect(velocity == ("v_prediction", 512, "PNDMScheduler"))
        try open(Marks.xl + [zeros("v_pred", [1]), zeros("ztsnr", [1])]) { source in
            let scheduler = try source.json("scheduler/scheduler_config.json")
            #expect(scheduler["rescale_betas_zero_snr"] == true && scheduler["timestep_spacing"] == "trailing")
        }
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

    @Test(arguments: ["model.ckpt", "model.pt", "model.bin", "MODEL.CKPT"])
    func picklesAreRefused(name: String) throws {
        try withTemporaryFolder { folder throws in
            try folder.write(name, "x")
            let error = weightsError { _ = try ModelSource.open(ModelRecipe(path: folder.appendingPathComponent(name).path)) }
            #expect(error?.code == .unsupportedFormat && error?.message.contains("safe_serialization=True") == true)
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
        // The whole of it, where the published file is at hand.
        guard let golden = Fixtures.sharedGolden else { return }
        let file = golden.deletingLastPathComponent().appendingPathComponent("data/clip-bpe/vocab.json")
        #expect(try JSONValue(parsing: [UInt8](Data(contentsOf: file)), limits: .config) == json)
    }
}
