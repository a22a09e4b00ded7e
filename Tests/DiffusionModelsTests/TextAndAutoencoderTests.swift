import DiffusionModels
import Foundation
import StrictJSON
import TensorCore
import TestSupport
import Testing
import Weights

@Suite struct TextEncoderTests {
    private func encoder(_ changes: [String: JSONValue] = [:], context: ComputeContext) throws -> CLIPTextModel {
        let source = try TinyModel.source("tiny-sd15")
        let text = try source.json("text_encoder/config.json").canonicalText
        let configuration = try CLIPTextConfiguration(json: TestConfiguration.json(text, changes))
        return try CLIPTextModel(source.weights(component: "text_encoder"), configuration: configuration, context: context)
    }

    private func row(_ tensor: Tensor, _ index: Int) -> [Float] {
        let width = tensor.dimension(-1)
        return Array(tensor.array[(index * width)..<((index + 1) * width)])
    }

    @Test func thePooledVectorIsThatOfTheEndToken() throws {
        let ids: [Int32] = [2512, 5, 900, 5, 2513, 17, 2513]
        let old = try encoder(context: ComputeContext(threads: 1)).encode(ids: [ids])
        #expect(old.pooled.array == row(old.lastHiddenState, 4), "an end token of 2 stands for the largest id")
        let new = try encoder(["eos_token_id": 5], context: ComputeContext(threads: 1)).encode(ids: [ids, ids.reversed()])
        #expect(row(new.pooled, 0) == row(new.lastHiddenState, 1), "the first of several end tokens")
        #expect(row(new.pooled, 1) == row(new.lastHiddenState, 7 + 3))
    }

    @Test func hiddenStatesAndClipSkip() throws {
        let model = try encoder(context: ComputeContext(threads: 1))
        let output = try model.encode(ids: [[2512, 8, 9, 2513]])
        #expect(output.hiddenStates.count == 4)
        #expect(try model.normedState(output, clipSkip: 0).array == output.lastHiddenState.array)
        #expect(try model.state(output, clipSkip: 1).array == output.hiddenStates[2].array)
        #expect(try model.state(output, clipSkip: 3).array == output.hiddenStates[0].array)
        #expect(throws: ModelError.self) { try model.state(output, clipSkip: 4) }
        #expect(throws: ModelError.self) { try model.state(output, clipSkip: -1) }
    }

    /// No token sees a later one, so the vectors of the first tokens do not depend on the rest.
    @Test func tokensSeeOnlyWhatStandsBeforeThem() throws {
        let model = try encoder(context: ComputeContext(threads: 1))
        let a = try model.encode(ids: [[2512, 8, 9, 10, 2513]]).lastHiddenState
        let b = try model.encode(ids: [[2512, 8, 9, 11, 12]]).lastHiddenState
        #expect(Closeness(row(a, 2), row(b, 2)).within(largest: 1e-6))
        #expect(!Closeness(row(a, 3), row(b, 3)).within(largest: 1e-3))
    }

    @Test func idsThatTheModelDoesNotTakeAreRefused() throws {
        let model = try encoder(context: ComputeContext(threads: 1))
        for ids: [[Int32]] in [[], [[]], [[1], [1, 2]], [[2514]], [[-1]], [Array(repeating: 1, count: 78)]] {
            let error = #expect(throws: ModelError.self) { try model.encode(ids: ids) }
            #expect(error?.code == .input)
        }
    }

    /// Newer releases store text encoders without the outer level.
    @Test func theOuterLevelOfNamesMayBeMissing() throws {
        let path = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15/text_encoder/model.safetensors").path
        let entries = try MemoryWeights.read(path)
        let renamed = Dictionary(
            uniqueKeysWithValues: entries.map { ($0.key.replacing("text_model.", with: ""), $0.value) })
        #expect(renamed.keys.contains("final_layer_norm.weight"))
        let reference = try encoder(context: ComputeContext(threads: 1))
        let model = try CLIPTextModel(
            WeightScope(MemoryWeights(renamed)), configuration: reference.configuration, context: ComputeContext(threads: 1))
        let ids: [[Int32]] = [[2512, 40, 41, 2513]]
        #expect(try model.encode(ids: ids).lastHiddenState.array == reference.encode(ids: ids).lastHiddenState.array)
    }
}

@Suite struct AutoencoderTests {
    private static let folder = Fixtures.folder.appendingPathComponent("golden/models/tiny-sd15/vae")

    private func configuration() throws -> VAEConfiguration {
        try VAEConfiguration(json: TinyModel.source("tiny-sd15").json("vae/config.json"))
    }

    private var latent: Tensor {
        var numbers = TestNumbers(seed: 5)
        return Tensor(numbers.floats(6 * 5 * 4), shape: [1, 6, 5, 4])
    }

    @Test func eachHalfChecksItsOwnTensors() throws {
        var entries = try MemoryWeights.read(Self.folder.appendingPathComponent("diffusion_pytorch_model.safetensors").path)
        entries["decoder.stranger"] = MemoryWeights.Entry(shape: [1], values: [0])
        let context = try ComputeContext(threads: 1)
        let error = #expect(throws: ModelError.self) {
            try VAEDecoder(WeightScope(MemoryWeights(entries)), configuration: configuration(), context: context)
        }
        #expect(error?.message.contains("decoder.stranger") == true)
        #expect(throws: Never.self) {
            try VAEEncoder(WeightScope(MemoryWeights(entries)), configuration: configuration(), context: context)
        }
    }

    @Test func sizesAreChecked() throws {
        let source = try TinyModel.source("tiny-sd15")
        let context = try ComputeContext(threads: 1)
        let decoder = try VAEDecoder(source.weights(component: "vae"), configuration: configuration(), context: context)
        #expect(try decoder.decode(latent).shape == [1, 48, 40, 3])
        #expect(throws: ModelError.self) { try decoder.decode(Tensor(repeating: 0, shape: [1, 4, 4, 3])) }
        let encoder = try VAEEncoder(source.weights(component: "vae"), configuration: configuration(), context: context)
        #expect(try encoder.encode(Tensor(repeating: 0, shape: [2, 16, 24, 3])).mean.shape == [2, 2, 3, 4])
        #expect(throws: ModelError.self) { try encoder.encode(Tensor(repeating: 0, shape: [1, 12, 16, 3])) }
        let error = #expect(throws: ModelError.self) { try decoder.decode(Tensor(repeating: .nan, shape: [1, 2, 2, 4])) }
        #expect(error?.code == .nonFinite && error?.message.contains("VAE decoder") == true)
    }

    /// An encoder halves its image at each level, however many there are.
    @Test(arguments: [4, 7]) func deepEncodersHalveEachLevel(levels: Int) throws {
        let widths = Array(repeating: "16", count: levels).joined(separator: ",")
        let blocks = { (kind: String) in Array(repeating: "\"\(kind)\"", count: levels).joined(separator: ",") }
        let configuration = try VAEConfiguration(
            json: TestConfiguration.json(
                """
                {"block_out_channels": [\(widths)], "norm_num_groups": 4, "layers_per_block": 1,
                 "down_block_types": [\(blocks("DownEncoderBlock2D"))], "up_block_types": [\(blocks("UpDecoderBlock2D"))]}
                """))
        let encoder = try VAEEncoder(
            WeightScope(RandomWeightSource(seed: 3)), configuration: configuration, context: ComputeContext(threads: 1))
        let side = 2 * configuration.scale
        #expect(try encoder.encode(Tensor(repeating: 0.5, shape: [1, side, side, 3])).mean.shape == [1, 2, 2, 4])
    }

    @Test func theLogarithmOfTheVarianceIsLimited() throws {
        var entries = try MemoryWeights.read(Self.folder.appendingPathComponent("diffusion_pytorch_model.safetensors").path)
        entries["quant_conv.bias"] = MemoryWeights.Entry(shape: [8], values: [0, 0, 0, 0, 1000, -1000, 1000, -1000])
        let encoder = try VAEEncoder(
            WeightScope(MemoryWeights(entries)), configuration: configuration(), context: ComputeContext(threads: 1))
        let logVariance = try encoder.encode(Tensor(repeating: 0.5, shape: [1, 8, 8, 3])).logVariance
        #expect(logVariance.array == [20, -30, 20, -30])
    }
}
