import Foundation
import StrictJSON
import TestSupport
import Testing

@testable import Weights

private let sd15 = UNetTopology(
    layersPerBlock: [2, 2, 2, 2], downAttention: [true, true, true, false], upAttention: [false, true, true, true])
private let sdxl = UNetTopology(
    layersPerBlock: [2, 2, 2], downAttention: [false, true, true], upAttention: [true, true, false])

@Suite struct OriginalUNetNamesTests {
    @Test(arguments: [
        ("input_blocks.0.0.weight", "conv_in.weight"),
        ("input_blocks.1.0.in_layers.0.bias", "down_blocks.0.resnets.0.norm1.bias"),
        (
            "input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.weight"
        ),
        ("input_blocks.3.0.op.weight", "down_blocks.0.downsamplers.0.conv.weight"),
        ("input_blocks.4.0.skip_connection.weight", "down_blocks.1.resnets.0.conv_shortcut.weight"),
        ("input_blocks.11.0.out_layers.3.bias", "down_blocks.3.resnets.1.conv2.bias"),
        ("middle_block.1.proj_in", "mid_block.attentions.0.proj_in"),
        ("middle_block.2.emb_layers.1.weight", "mid_block.resnets.1.time_emb_proj.weight"),
        ("output_blocks.2.1.conv.weight", "up_blocks.0.upsamplers.0.conv.weight"),
        ("output_blocks.5.2.conv.weight", "up_blocks.1.upsamplers.0.conv.weight"),
        ("output_blocks.11.1.proj_out.bias", "up_blocks.3.attentions.2.proj_out.bias"),
        ("time_embed.2.weight", "time_embedding.linear_2.weight"), ("out.0.weight", "conv_norm_out.weight"),
    ])
    func namesOfStableDiffusion1(original: String, diffusers: String) {
        let names = OriginalUNetNames(sd15)
        #expect(names.diffusers(original) == diffusers)
        #expect(names.original(diffusers) == original)
    }

    @Test(arguments: [
        ("input_blocks.4.1.proj_in", "down_blocks.1.attentions.0.proj_in"),
        ("input_blocks.8.1.transformer_blocks.9.ff.net.2", "down_blocks.2.attentions.1.transformer_blocks.9.ff.net.2"),
        ("output_blocks.2.2.conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks.8.0.in_layers.2", "up_blocks.2.resnets.2.conv1"),
        ("label_emb.0.2.weight", "add_embedding.linear_2.weight"),
    ])
    func namesOfStableDiffusionXL(original: String, diffusers: String) {
        let names = OriginalUNetNames(sdxl)
        #expect(names.diffusers(original) == diffusers)
        #expect(names.original(diffusers) == original)
    }

    @Test func blocksThatTheNetworkLacksHaveNoName() {
        let names = OriginalUNetNames(sdxl)
        for name in ["input_blocks.9.0.in_layers.0", "input_blocks.1.1.proj_in", "output_blocks.8.1.norm", "other", "", "."] {
            #expect(names.diffusers(name) == nil)
        }
        for name in ["down_blocks.0.attentions.0.norm", "up_blocks.2.upsamplers.0.conv", "down_blocks.3.resnets.0.norm1"] {
            #expect(names.original(name) == nil)
        }
    }

    @Test func everyTensorOfARealUNetGoesThereAndBack() throws {
        let folder = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd21")
        let names = OriginalUNetNames(
            try UNetTopology(configuration: ModelSource.folder(folder.path).json("unet/config.json")))
        let file = folder.appendingPathComponent("unet/diffusion_pytorch_model.safetensors").path
        let paths = try SafetensorsFile(path: file).tensors.keys
        #expect(paths.count > 600)
        for path in paths {
            let original = try #require(names.original(path), "\(path)")
            #expect(names.diffusers(original) == path)
        }
    }

    @Test(arguments: [
        "{}", #"{"down_block_types":["A"],"up_block_types":["A","B"]}"#, #"{"down_block_types":[1],"up_block_types":["A"]}"#,
        #"{"down_block_types":["A"],"up_block_types":["A"],"layers_per_block":0}"#,
        #"{"down_block_types":["A"],"up_block_types":["A"],"layers_per_block":[1,2]}"#,
        #"{"down_block_types":["A"],"up_block_types":["A"],"layers_per_block":["x"]}"#,
        #"{"down_block_types":["A"],"up_block_types":["A"],"layers_per_block":1000000}"#, "[]",
    ])
    func brokenTopologiesAreRefused(json: String) throws {
        let value = try JSONValue(parsing: Array(json.utf8), limits: .config)
        #expect(weightsError { _ = try UNetTopology(configuration: value) }?.code == .malformed)
    }
}
