import ArgumentParser
import DiffusionModels
import TensorCore
import Weights

/// The published architectures that the bench knows. The configurations hold the values of the checkpoints'
/// `unet/config.json` that differ from the defaults of diffusers' `UNet2DConditionModel`.
enum UNetFamily: String, ExpressibleByArgument, CaseIterable {
    case sd15, sd21, sdxl

    var configurationText: String {
        switch self {
        case .sd15:
            """
            {"_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
             "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768, "attention_head_dim": 8,
             "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
             "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}
            """
        case .sd21:
            """
            {"_class_name": "UNet2DConditionModel", "sample_size": 96, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
             "block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20],
             "use_linear_projection": true,
             "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
             "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]}
            """
        case .sdxl:
            """
            {"_class_name": "UNet2DConditionModel", "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2,
             "block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20],
             "use_linear_projection": true, "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time",
             "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
             "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}
            """
        }
    }

    /// The family of the whole model with this U-Net.
    var checkpointFamily: CheckpointFamily {
        switch self {
        case .sd15: .stableDiffusion1
        case .sd21: .stableDiffusion2
        case .sdxl: .stableDiffusionXL
        }
    }

    private var textWidth: Int {
        switch self {
        case .sd15: 768
        case .sd21: 1024
        case .sdxl: 2048
        }
    }

    /// A latent, a text of 77 tokens and the architecture's other inputs, all uniform in ±1.
    func input(batch: Int, height: Int, width: Int) -> UNetInput {
        UNetInput(
            sample: uniform([batch, height, width, 4]), timesteps: [500], text: uniform([batch, 77, textWidth]),
            textEmbeds: self == .sdxl ? uniform([batch, 1280]) : nil, timeIDs: self == .sdxl ? uniform([batch, 6]) : nil)
    }

    private func uniform(_ shape: [Int]) -> Tensor {
        let tensor = Tensor(uninitialized: shape)
        let values = tensor.floats
        for index in values.indices { values[index] = Float((index &* 2_654_435_761) >> 7 & 0xFFFF) / 32768 - 1 }
        return tensor
    }
}
