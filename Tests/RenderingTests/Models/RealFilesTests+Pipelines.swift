import Foundation
import StrictJSON
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Folders that are made for pipelines around a base.
extension RealFilesTests {
    @Test(arguments: [
        ("StableDiffusionPAGPipeline", "perturbed-attention guidance"), ("StableDiffusionPipelineSafe", "safe guidance"),
        ("StableDiffusionControlNetPipeline", "a ControlNet"), ("StableDiffusionSafePipeline", "safe guidance"),
        ("StableDiffusionControlNetPAGPipeline", "a ControlNet and perturbed-attention guidance"),
        ("StableDiffusionControlNetImg2ImgPipeline", "a ControlNet"), ("StableDiffusionAdapterPipeline", "a T2I adapter"),
        ("SemanticStableDiffusionPipeline", "semantic guidance"), ("StableDiffusionInpaintPipelineLegacy", nil),
        ("StableDiffusionImg2ImgPipeline", nil), ("DiffusionPipeline", nil), ("", nil), ("StableDiffusionMegaPipeline", nil),
        ("CycleDiffusionPipeline", "CycleDiffusion's coupled noise"),
        ("StableDiffusionReferencePipeline", "a reference picture"),
        ("StableDiffusionControlNetReferencePipeline", "a ControlNet and a reference picture"),
        ("StableDiffusionHDPainterPipeline", "HD-Painter's guidance"), ("StableDiffusionFancyPipeline", "\"Fancy\""),
        ("StableDiffusionPAGFancyImg2ImgRealPipeline", "perturbed-attention guidance, \"Fancy\" and \"Real\""),
    ])
    func pipelinesAroundABaseAreTakenForIt(name: String, leftOut: String?) throws {
        try Self.withCopy { folder, choice in
            try Self.set(
                folder.appendingPathComponent("model_index.json"),
                ["_class_name": .string(name), "controlnet": ["diffusers", "ControlNetModel"]])
            let verb = leftOut?.contains(" and ") == true ? "are" : "is"
            let notes = leftOut.map { ["made for a pipeline with \($0), which \(verb) left out"] } ?? []
            try Self.expectPlain(folder, choice, notes: notes)
        }
    }

    @Test(arguments: [
        ("StableDiffusionXLReferencePipeline", "a reference picture"), ("SDXLLongPromptWeightingPipeline", nil),
        ("StableDiffusionXLTilingPipeline", "seamless tiling"), ("DiffusionPipeline", nil),
        ("StableDiffusionXLDifferentialImg2ImgPipeline", "a strength for each pixel"),
        ("StableDiffusionXLControlNetTileSRPipeline", "a ControlNet and \"TileSR\""),
    ])
    func pipelinesAroundXLAreTakenForIt(name: String, leftOut: String?) throws {
        let plain = try GoldenModels.sdxl(setting: [:])
        let source = try GoldenModels.sdxl(setting: ["model_index.json": ["_class_name": .string(name)]])
        let notes = try ModelDescription(source: source).notes
        #expect(notes.count == (leftOut == nil ? 0 : 1) && notes.allSatisfy { $0.contains(leftOut ?? "") }, "\(notes)")
        #expect(try Self.pixels(source) == Self.pixels(plain))
    }

    /// A pipeline may have networks of its own, which are named. The networks of the base must have the base's classes.
    @Test func networksOfAPipelineDecide() throws {
        func open(_ members: [String: JSONValue?]) throws -> [String] {
            try Self.withCopy { folder, choice in
                try Self.set(folder.appendingPathComponent("model_index.json"), members)
                return try ModelDescription(source: .open(choice)).notes
            }
        }
        let fancy: JSONValue = "StableDiffusionFancyPipeline"
        let other: JSONValue = ["diffusers", "UNet2DConditionModel"]
        #expect(
            try open(["_class_name": fancy, "ref_unet": other]).first?.hasSuffix(
                "with \"Fancy\" and the component \"ref_unet\", which are left out: the picture is that of the base model")
                == true)
        for (component, name) in [
            ("unet", "UNetMotionModel"), ("unet", "UNet3DConditionModel"), ("vae", "AutoencoderTiny"),
            ("text_encoder", "T5EncoderModel"), ("text_encoder_2", "ChatGLMModel"),
        ] {
            for pipeline in [fancy, "DiffusionPipeline"] {
                let error = #expect(throws: WeightsError.self) {
                    try open(["_class_name": pipeline, component: ["x", .string(name)]])
                }
                #expect(error?.code == .unsupportedModel, "\(error as Any)")
                #expect(error?.message.contains(pipeline.canonicalText) == true, "\(error as Any)")
            }
        }
    }

    @Test(arguments: [
        "StableDiffusion3ControlNetPipeline", "StableDiffusionUpscalePipeline", "StableDiffusionInstructPix2PixPipeline",
        "StableDiffusionGLIGENPipeline", "StableDiffusionLDM3DPipeline", "StableUnCLIPPipeline", "OnnxStableDiffusionPipeline",
        "StableDiffusion", "AnimateDiffPipeline", "AnimateDiffSDXLPipeline", "StableVideoDiffusionPipeline", "FluxPipeline",
        "StableDiffusion35Pipeline", "KolorsPipeline", "TextToVideoZeroPipeline", "stableDiffusionPipeline",
        "StableDiffusionPAG\n\u{1B}Pipeline", "StableDiffusion\(String(repeating: "A", count: 5000))Pipeline",
    ])
    func otherPipelinesAreStillRefused(name: String) throws {
        try Self.withCopy { folder, choice in
            try Self.set(folder.appendingPathComponent("model_index.json"), ["_class_name": .string(name)])
            #expect(throws: WeightsError.self) { try ModelSource.open(choice) }
        }
    }

    /// diffusers writes a user's own pipeline together with its module.
    @Test(
        arguments: [
            (["my_pipe", "StableDiffusionPipeline"], nil), (["my_pipe", "StableDiffusionMyPipeline"], "\"My\""),
            (["my_pipe", "StableDiffusionPAGPipeline"], "perturbed-attention guidance"), (["DiffusionPipeline"], nil),
            (.null, nil),
        ] as [(JSONValue, String?)])
    func pipelinesOfOnesOwnAreKnownByTheirClass(name: JSONValue, leftOut: String?) throws {
        try Self.withCopy { folder, choice in
            try Self.set(folder.appendingPathComponent("model_index.json"), ["_class_name": name])
            let notes = leftOut.map { ["made for a pipeline with \($0), which is left out"] } ?? []
            try Self.expectPlain(folder, choice, notes: notes)
            let summary = try ModelSummary(ModelSource.open(choice))
            #expect(summary.pipeline == name.arrayValue?.last?.stringValue ?? "unknown")
        }
    }

    @Test(
        arguments: [
            (["my_pipe", "AnimateDiffPipeline"], "\"AnimateDiffPipeline\""),
            (["paint", "PaintByExamplePipeline"], "\"PaintByExamplePipeline\""), (7, "neither the name"),
            ([:], "neither the name"), ([], "neither the name"), (["StableDiffusionPipeline", 3], "neither the name"),
            (true, "neither the name"), ([["StableDiffusionPipeline"]], "neither the name"),
            (["my_pipe", ""], "neither the name"),
        ] as [(JSONValue, String)])
    func listsHideNoOtherPipeline(name: JSONValue, mention: String) throws {
        try Self.withCopy { folder, choice in
            try Self.set(folder.appendingPathComponent("model_index.json"), ["_class_name": name])
            let error = #expect(throws: WeightsError.self) { try ModelSource.open(choice) }
            #expect(error?.message.contains(mention) == true, "\(error as Any)")
            #expect(error?.code == (mention.hasPrefix("neither") ? .malformed : .unsupportedModel))
        }
    }

    /// Folders for ParaDiGMS have schedulers for many steps at once. Their single steps equal those of the plain schedulers.
    @Test(
        arguments: [
            ("DDIM", [:]), ("DDPM", [:]), ("DDIM", ["clip_sample": true, "timestep_spacing": "trailing"]),
            ("DDIM", ["rescale_betas_zero_snr": true, "prediction_type": "v_prediction"]),
        ] as [(String, [String: JSONValue])])
    func parallelSchedulersAreThePlainOnes(name: String, members: [String: JSONValue]) throws {
        try Self.withCopy { folder, choice in
            let file = folder.appendingPathComponent("scheduler/scheduler_config.json")
            func drawn(_ scheduler: String, _ pipeline: JSONValue) throws -> (notes: [String], pixels: [UInt8]) {
                try Self.set(folder.appendingPathComponent("model_index.json"), ["_class_name": pipeline])
                var own: [String: JSONValue?] = ["_class_name": .string(scheduler)]
                own.updateValue(nil, forKey: "clip_sample")
                for (key, value) in members { own.updateValue(value, forKey: key) }
                try Self.set(file, own)
                let source = try ModelSource.open(choice)
                try ModelDescription(source: source).checkOwnSampler()
                return (try ModelDescription(source: source).notes, try Self.pixels(source))
            }
            let plain = try drawn(name + "Scheduler", "StableDiffusionPipeline")
            let parallel = try drawn(name + "ParallelScheduler", "StableDiffusionParadigmsPipeline")
            #expect(parallel.pixels == plain.pixels)
            #expect(parallel.notes.count == plain.notes.count + 1 && plain.notes.allSatisfy(parallel.notes.contains))
            #expect(parallel.notes.contains { $0.contains("parallel sampling") }, "\(parallel.notes)")
            // Other names that begin in the same way are refused.
            for other in ["DDIMInverseScheduler", "DDIMParallelDiscreteScheduler", "PNDMParallelScheduler"] {
                #expect(throws: RenderError.self) { try drawn(other, "StableDiffusionPipeline") }
            }
        }
    }
}
