import ContentHash
import EmbeddedModel
import PatchGeometry
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@testable import Rendering

/// Models that cannot be rendered with are refused before any work is done.
@Suite struct ModelTests {
    private static let unetWeights = "unet/diffusion_pytorch_model.safetensors"
    private static let vaeWeights = "vae/diffusion_pytorch_model.safetensors"

    /// Checks that coordinator and worker refuse in the same way.
    private func expectRefusal(
        _ code: RenderError.Code, _ part: String, _ source: ModelSource, _ location: SourceLocation = #_sourceLocation
    ) {
        let described = refusal { _ = try ModelDescription(source: source) }
        let worked = refusal { _ = try TaskRunner(models: [source], backend: .auto, threads: 1) }
        #expect(
            described?.code == code && described?.isSentence == true, "\(String(describing: described))",
            sourceLocation: location)
        #expect(described?.message.contains(part) == true, "\(described?.message ?? "accepted")", sourceLocation: location)
        #expect(
            worked?.code == code && worked?.message.contains(part) == true, "\(worked?.message ?? "accepted")",
            sourceLocation: location)
    }

    @Test func whatIsMissingIsNamed() {
        for path in [
            "unet/config.json", "vae/config.json", "text_encoder/config.json", Self.unetWeights, Self.vaeWeights,
            "text_encoder/model.safetensors",
        ] {
            let part = path.hasSuffix(".json") ? path : path.split(separator: "/")[0] + " has no weights"
            expectRefusal(.notFound, "variant/\(part)", ModelVariant.source([path: nil]))
        }
        for path in ["scheduler/scheduler_config.json", "tokenizer/merges.txt", "tokenizer/vocab.json"] {
            let error = refusal { _ = try ModelDescription(source: ModelVariant.source([path: nil])) }
            #expect(error?.code == .notFound && error?.message.contains(path) == true, "\(path): \(String(describing: error))")
        }
        do {
            _ = try ModelSource.folder("/there/is/no/such/model")
            Issue.record("a folder that is missing was accepted")
        } catch { #expect(error.code == .notFound && error.message.contains("/there/is/no/such/model")) }
    }

    @Test func otherPipelinesAreRefusedByName() throws {
        for (name, kind) in [
            ("StableDiffusion3Pipeline", " (Stable Diffusion 3)"), ("FluxPipeline", " (FLUX)"),
            ("PixArtAlphaPipeline", " (PixArt)"),
            ("LatentConsistencyModelPipeline", " (a latent consistency model)"), ("SomethingElse", ""),
        ] {
            expectRefusal(
                .badModel, "is made for the pipeline \"\(name)\"\(kind), which is not supported: choose a model of",
                try ModelVariant.source(changing: "model_index.json", ["_class_name": .string(name)])
            )
        }
        let sdxl: [String: JSONValue] = [
            "addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 56,
        ]
        let half = try ModelVariant.source(changing: "unet/config.json", sdxl)
        expectRefusal(.badModel, "variant/model_index.json names no text_encoder_2, which the model needs", half)
        expectRefusal(
            .badModel, "supported are models that take 4, and for inpainting 9",
            try ModelVariant.source(changing: "unet/config.json", ["in_channels": 5]))
    }

    /// A model for inpainting is described, and refused for pictures that it cannot make.
    @Test func inpaintingNeedsAPicture() throws {
        let model = try ModelDescription(source: GoldenModels.source("tiny-sd15-inpaint"))
        #expect(model.isInpainting && model.inputChannels == 9)
        let error = refusal { _ = try RenderMachine(request: RenderRequest(), model: model) }
        #expect(error?.code == .invalidRequest && error?.message.contains("a mask (--mask)") == true)
    }

    /// One checkpoint serves all pipelines of its family.
    @Test func theFamilysPipelinesAreAccepted() throws {
        for name in ["StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"] {
            let source = try ModelVariant.source(changing: "model_index.json", ["_class_name": .string(name)])
            #expect(try ModelDescription(source: source).nativeSize == 128)
        }
    }

    @Test func filesThatDoNotFitEachOtherAreRefused() throws {
        let cases: [(part: String, path: String, members: [String: JSONValue])] = [
            ("text of width 96", "unet/config.json", ["cross_attention_dim": 96]),
            ("\"sample_size\"", "unet/config.json", ["sample_size": [16, 24]]),
            (
                "autoencoder of scale 4", "vae/config.json",
                [
                    "block_out_channels": [16, 32, 64],
                    "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D"],
                    "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D"],
                ]
            ),
            ("1 colour channels", "vae/config.json", ["out_channels": 1]),
            ("knows 2560 tokens, the text encoder 2000", "text_encoder/config.json", ["vocab_size": 2000]),
            ("prompts of 1 tokens", "text_encoder/config.json", ["max_position_embeddings": 1]),
        ]
        for (part, path, members) in cases {
            let error = refusal { _ = try ModelDescription(source: ModelVariant.source(changing: path, members)) }
            #expect(error?.code == .badModel && error?.isSentence == true, "\(part): \(String(describing: error))")
            #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "accepted")")
        }
    }

    @Test func weightsThatAreCutShortAreFoundAtTheStart() {
        for path in [Self.unetWeights, Self.vaeWeights, "text_encoder/model.safetensors"] {
            let whole = ModelVariant.bytes(path)
            for content in [Array(whole.dropLast(1)), Array(whole.prefix(whole.count / 2)), Array(whole.prefix(7)), []] {
                expectRefusal(.badModel, "variant/\(path)", ModelVariant.source([path: content]))
            }
        }
    }

    @Test func configurationsThatAreBrokenAreNamed() {
        for path in ["unet/config.json", "vae/config.json", "text_encoder/config.json", "model_index.json"] {
            for content in ["", "{", "[]", "{\"a\":1,\"a\":2}"] {
                let error = refusal { _ = try ModelDescription(source: ModelVariant.source([path: Array(content.utf8)])) }
                if path == "model_index.json", content == "[]" { continue }
                #expect(
                    error?.code == .badModel && error?.isSentence == true, "\(path) \(content): \(String(describing: error))")
            }
        }
    }

    /// Weights that do not fit the configuration are refused when the model is described, and by a worker when a job is opened:
    /// never when the picture is nearly done.
    @Test func weightsThatDoNotFitAreRefusedAtTheStart() throws {
        let cases: [(path: String, members: [String: JSONValue])] = [
            ("vae/config.json", ["layers_per_block": 2]), ("text_encoder/config.json", ["num_hidden_layers": 4]),
        ]
        for (path, members) in cases {
            let source = try ModelVariant.source(changing: path, members)
            let described = refusal { _ = try ModelDescription(source: source) }
            #expect(described?.code == .badModel && described?.isSentence == true, "\(path): \(String(describing: described))")
            let runner = try TaskRunner(models: [source], backend: .auto, threads: 1)
            let error = refusal {
                try runner.open(JobContext(modelIdentity: runner.modelIdentities[0], conditioning: nil))
            }
            #expect(error?.code == .badModel && error?.isSentence == true, "\(path): \(String(describing: error))")
        }
    }

    @Test func theEmbeddedModelIsDescribed() throws {
        let model = try ModelDescription(source: .embeddedModel)
        #expect(model.name == EmbeddedModel.name && model.nativeSize == 128)
        #expect(model.recommended.guidanceScale == 5 && model.recommended.structureFraction.description == "0.4")
        #expect(model.textTokens == 77 && model.textWidth == 128)
        let copy = try ModelDescription(source: ModelVariant.source(name: "copy", [:]))
        #expect(copy.name == "copy" && copy.identity == model.identity && copy.recommended == model.recommended)
        let other = try ModelVariant.predicting("epsilon")
        #expect(other.identity != model.identity && other.recommended == RecommendedSettings())
        // The name alone makes no model the embedded one.
        let path = "scheduler/scheduler_config.json"
        let namesake = ModelVariant.source(name: EmbeddedModel.name, [path: ModelVariant.bytes(path) + [10]])
        #expect(try ModelDescription(source: namesake).recommended == RecommendedSettings())
    }
}
