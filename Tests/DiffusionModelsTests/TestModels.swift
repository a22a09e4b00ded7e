import DiffusionModels
import Foundation
import Sentences
import StrictJSON
import Synchronization
import TensorCore
import TestSupport
import Weights

/// A U-Net configuration as text, with some keys changed.
enum TestConfiguration {
    /// Stable Diffusion 1.x's arrangement with very few channels.
    static let sd15 = """
        {"_class_name": "UNet2DConditionModel", "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
         "block_out_channels": [8, 8, 16, 16], "cross_attention_dim": 8, "attention_head_dim": 2, "norm_num_groups": 4,
         "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
         "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}
        """

    /// SDXL's arrangement, its ten transformer blocks included.
    static let sdxl = """
        {"_class_name": "UNet2DConditionModel", "sample_size": 16, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
         "block_out_channels": [8, 8, 16], "cross_attention_dim": 8, "attention_head_dim": [1, 2, 2], "norm_num_groups": 4,
         "use_linear_projection": true, "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time",
         "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 56,
         "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
         "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}
        """

    static func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: Array(text.utf8), limits: .config) }

    /// `text` with members replaced or added.
    static func json(_ text: String, _ changes: [String: JSONValue]) throws -> JSONValue {
        var object = try json(text).objectValue ?? JSONObject()
        for (key, value) in changes { object[key] = value }
        return .object(object)
    }

    static func unet(_ text: String, _ context: ComputeContext) throws -> UNet {
        try UNet(
            WeightScope(RandomWeightSource(seed: 3)), configuration: UNetConfiguration(json: json(text)), context: context)
    }
}

/// An input of reproducible numbers for a U-Net.
func testInput(_ unet: UNet, height: Int, width: Int, batch: Int = 1, seed: UInt64 = 1) -> UNetInput {
    var numbers = TestNumbers(seed: seed)
    let configuration = unet.configuration
    return UNetInput(
        sample: Tensor(
            numbers.floats(batch * height * width * configuration.inChannels),
            shape: [batch, height, width, configuration.inChannels]),
        timesteps: [601],
        text: Tensor(numbers.floats(batch * 7 * configuration.textWidth), shape: [batch, 7, configuration.textWidth]),
        textEmbeds: configuration.added.map {
            Tensor(numbers.floats(batch * $0.textWidth), shape: [batch, $0.textWidth])
        },
        timeIDs: configuration.added.map { _ in
            Tensor((0..<batch).flatMap { _ in [512, 512, 0, 0, 512, 512] }, shape: [batch, 6])
        })
}

/// The tiny models of the golden fixtures.
enum TinyModel {
    static func source(_ name: String) throws -> ModelSource {
        try ModelSource.folder(Fixtures.folder.appendingPathComponent("golden/models/\(name)").path)
    }
}

/// Weights in memory, for checkpoints without a file. Reports tensors that were never taken, as files do.
final class MemoryWeights: WeightSource {
    struct Entry {
        var shape: [Int]
        var values: [Float]
    }

    let name = "weights in memory"
    private let entries: [String: Entry]
    private let taken = Mutex<Set<String>>([])

    init(_ entries: [String: Entry]) { self.entries = entries }

    /// All tensors of a file.
    static func read(_ path: String) throws -> [String: Entry] {
        let file = try SafetensorsFile(path: path)
        return try file.tensors.reduce(into: [:]) { entries, tensor in
            entries[tensor.key] = Entry(shape: tensor.value.shape, values: try file.tensor(tensor.key).array)
        }
    }

    func contains(_ path: String) -> Bool { entries[path] != nil }

    func shape(of path: String) -> [Int]? { entries[path]?.shape }

    func tensor(_ path: String, shape: [Int]) throws(WeightsError) -> Tensor {
        guard let entry = entries[path] else { throw WeightsError(.missingTensor, "no tensor \(path)") }
        guard entry.shape == shape else {
            throw WeightsError(.misshapenTensor, "\(path) has shape \(entry.shape), not \(shape)")
        }
        taken.withLock { _ = $0.insert(path) }
        return Tensor(entry.values, shape: shape)
    }

    func unusedPaths() -> [String] { taken.withLock { taken in entries.keys.filter { !taken.contains($0) }.sorted() } }
}
