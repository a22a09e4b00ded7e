import DiffusionModels
import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@Suite struct ConfigurationTests {
    @Test func defaultsAreThoseOfDiffusers() throws {
        let unet = try UNetConfiguration(json: .object(JSONObject()))
        #expect(unet.channels == [320, 640, 1280, 1280] && unet.heads == [8, 8, 8, 8] && unet.textWidth == 1280)
        #expect(unet.layersPerBlock == [2, 2, 2, 2] && unet.normGroups == 32 && unet.normEpsilon == 1e-5)
        #expect(unet.flipSinToCos && unet.frequencyShift == 0 && !unet.usesLinearProjection && unet.added == nil)
        let vae = try VAEConfiguration(json: .object(JSONObject()))
        #expect(vae.channels == [64] && vae.layersPerBlock == 1 && vae.latentChannels == 4 && vae.scalingFactor == 0.18215)
        #expect(vae.usesQuantConvolution && vae.usesPostQuantConvolution && vae.hasMidAttention)
        let text = try CLIPTextConfiguration(json: .object(JSONObject()))
        #expect(text.vocabularySize == 49408 && text.hiddenSize == 512 && text.layerCount == 12 && text.headCount == 8)
        #expect(text.hiddenActivation == .quickGELU && text.endTokenID == 49407 && text.hasProjection == nil)
    }

    @Test func listsGoByLevel() throws {
        let sdxl = try UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sdxl))
        #expect(sdxl.heads == [1, 2, 2] && sdxl.transformerLayers == [1, 2, 10] && sdxl.upTransformerLayers == [1, 2, 10])
        #expect(sdxl.added?.timeWidth == 8 && sdxl.added?.textWidth == 8)
        let reversed = try UNetConfiguration(
            json: TestConfiguration.json(TestConfiguration.sdxl, ["reverse_transformer_layers_per_block": [3, 2, 1]]))
        #expect(reversed.upTransformerLayers == [1, 2, 3])
    }

    @Test(
        arguments: [
            ("act_fn", "relu"), ("down_block_types", ["AttnDownBlock2D", "DownBlock2D", "DownBlock2D", "DownBlock2D"]),
            ("up_block_types", ["UpBlock2D"]), ("mid_block_type", .null), ("class_embed_type", "timestep"),
            ("addition_embed_type", "image"), ("attention_head_dim", 3), ("attention_head_dim", [1, 2]), ("norm_num_groups", 3),
            ("norm_num_groups", .null), ("block_out_channels", []), ("block_out_channels", [8, -8, 16, 16]),
            ("block_out_channels", [8, 8, 16, 4_000_000_000]), ("layers_per_block", 0), ("in_channels", "4"), ("norm_eps", 0),
            ("center_input_sample", true), ("time_cond_proj_dim", 256), ("encoder_hid_dim_type", "text_proj"),
            ("resnet_time_scale_shift", "scale_shift"), ("dual_cross_attention", true),
            ("transformer_layers_per_block", [[1], 1, 1, 1]),
            ("cross_attention_dim", [8, 8, 8, 9]), ("num_attention_heads", 8), ("conv_in_kernel", 1),
            ("resnet_out_scale_factor", 2),
            ("addition_embed_type", "text_time"), ("freq_shift", 4), ("quantization_config", ["quant_method": "x"]),
            ("_class_name", "UNet2DModel"),
            ("sample_size", [16]), ("use_linear_projection", "yes"), ("conv_in_kernel", [3, 1]), ("conv_out_kernel", []),
            ("only_cross_attention", [false, true, false, false]), ("encoder_hid_dim", 768), ("num_class_embeds", 0),
        ] as [(String, JSONValue)])
    func whatTheUNetDoesNotHaveIsRefusedByName(key: String, value: JSONValue) throws {
        let json = try TestConfiguration.json(TestConfiguration.sd15, [key: value])
        let error = #expect(throws: ModelError.self) { try UNetConfiguration(json: json, file: "some/unet/config.json") }
        #expect(error?.code == .configuration)
        let message = error?.message ?? ""
        #expect(message.contains("some/unet/config.json"), "\(message)")
        // The fault may be the absence of another option that this one needs.
        #expect(message.contains(key) || value == "text_time", "\(message)")
    }

    /// Values that ask for the usual behaviour.
    @Test(
        arguments: [
            ("only_cross_attention", [false, false, false, false]), ("only_cross_attention", .null),
            ("use_linear_projection", .null), ("conv_in_kernel", [3]), ("conv_out_kernel", [3, 3]), ("encoder_hid_dim", 0),
            ("dual_cross_attention", .null),
        ] as [(String, JSONValue)])
    func valuesWithoutAnEffectAreTaken(key: String, value: JSONValue) throws {
        let plain = try UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sd15, [:]))
        #expect(try UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sd15, [key: value])) == plain)
    }

    @Test func unknownKeysThatSayNothingAreLetBe() throws {
        let json = try TestConfiguration.json(
            TestConfiguration.sd15, ["a_new_option": .null, "_name_or_path": "x", "dropout": 0.0])
        #expect(try UNetConfiguration(json: json) == UNetConfiguration(json: TestConfiguration.json(TestConfiguration.sd15)))
    }

    @Test(
        arguments: [
            ("latents_mean", [0.0, 0.0, 0.0, 0.0]), ("latents_mean", [0.0]), ("latents_std", [1.0, 1.0, 0.0, 1.0]),
            ("scaling_factor", -1), ("shift_factor", 0.1), ("down_block_types", ["DownBlock2D"]), ("norm_num_groups", 7),
            ("up_block_types", ["UpDecoderBlock2D", "UpDecoderBlock2D"]), ("act_fn", "mish"), ("latent_channels", 0),
        ] as [(String, JSONValue)])
    func whatTheAutoencoderDoesNotHaveIsRefusedByName(key: String, value: JSONValue) throws {
        let json = try TestConfiguration.json("{}", [key: value])
        let error = #expect(throws: ModelError.self) { try VAEConfiguration(json: json, file: "v.json") }
        #expect(error?.message.contains("v.json") == true)
    }

    @Test(
        arguments: [
            ("hidden_act", "relu"), ("architectures", ["BertModel"]), ("num_attention_heads", 7), ("model_type", "t5"),
            ("hidden_size", 0), ("num_hidden_layers", 100_000), ("eos_token_id", -1),
        ] as [(String, JSONValue)])
    func whatTheTextEncoderDoesNotHaveIsRefusedByName(key: String, value: JSONValue) throws {
        let json = try TestConfiguration.json("{}", [key: value])
        let error = #expect(throws: ModelError.self) { try CLIPTextConfiguration(json: json, file: "t.json") }
        #expect(error?.message.contains("t.json") == true && error?.message.contains(key) == true)
    }

    @Test func configurationsOfNoObjectAreRefused() {
        #expect(throws: ModelError.self) { try UNetConfiguration(json: [1]) }
        #expect(throws: ModelError.self) { try VAEConfiguration(json: "x") }
        #expect(throws: ModelError.self) { try CLIPTextConfiguration(json: .null) }
    }

    /// A configuration that does not belong to the weights: every tensor is checked, in both directions.
    @Test(
        arguments: [
            ("cross_attention_dim", 25, "attn2"), ("layers_per_block", 1, "up_blocks"),
            // The first layer that the file does not have.
            ("layers_per_block", 3, "\"down_blocks.0.resnets.2."),
            ("in_channels", 9, "conv_in.weight"), ("block_out_channels", [16, 24, 40, 40], "down_blocks.2"),
        ] as [(String, JSONValue, String)])
    func weightsOfAnotherModelAreRefused(key: String, value: JSONValue, fragment: String) throws {
        let source = try TinyModel.source("tiny-sd15")
        let text = try source.json("unet/config.json").canonicalText
        let configuration = try UNetConfiguration(json: TestConfiguration.json(text, [key: value]))
        let error = #expect(throws: ModelError.self) {
            try UNet(source.weights(component: "unet"), configuration: configuration, context: ComputeContext(threads: 1))
        }
        #expect(error?.code == .weights)
        #expect(error?.message.contains(fragment) == true, "\(error?.message ?? "")")
    }

    @Test func scaledLatentsGoThereAndBack() throws {
        let text = #"{"scaling_factor": 0.5, "latents_mean": [-1.5, 2, 0, 1], "latents_std": [8, 6, 1, 2]}"#
        let configuration = try VAEConfiguration(json: TestConfiguration.json(text))
        let latent: [Float] = [1, 2, 3, 4, 5, 6, 7, 8]
        let decoded = configuration.decoderInput(latent, height: 1, width: 2)
        #expect(decoded == [14.5, 30.5, 38, 50, 10, 12, 29, 33])
        #expect(configuration.samplerLatent(decoded, height: 1, width: 2) == latent)
        let plain = try VAEConfiguration(json: TestConfiguration.json(#"{"scaling_factor": 0.25}"#))
        #expect(plain.decoderInput([1, 2, 3, 4], height: 1, width: 1) == [4, 8, 12, 16])
        #expect(plain.samplerLatent([4, 8, 12, 16], height: 1, width: 1) == [1, 2, 3, 4])
    }
}
