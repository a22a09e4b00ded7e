import StrictJSON
import TestSupport
import Weights

/// Bytes that live as long as the program.
func permanent(_ content: [UInt8]) -> UnsafeRawBufferPointer {
    let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, content.count), alignment: 64)
    copy.copyBytes(from: content)
    return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<content.count])
}

/// A tensor by name: shape and values.
struct Numbers {
    let name: String
    let shape: [Int]
    let values: [Float]

    /// Seeded numbers.
    init(_ name: String, _ shape: [Int], seed: UInt64) {
        var numbers = TestNumbers(seed: seed)
        self.init(name, shape, numbers.floats(shape.reduce(1, *)))
    }

    init(_ name: String, _ shape: [Int], _ values: [Float]) {
        (self.name, self.shape, self.values) = (name, shape, values)
    }

    static func file(_ tensors: [Numbers], metadata: [String: String] = [:]) -> [UInt8] {
        var header: [String] = []
        if !metadata.isEmpty {
            var object = JSONObject()
            for (key, value) in metadata { object[key] = .string(value) }
            header.append("\"__metadata__\":\(JSONValue.object(object).canonicalText)")
        }
        var data: [UInt8] = []
        for tensor in tensors {
            let begin = data.count
            data += bytes(tensor.values)
            let name = JSONValue.string(tensor.name).canonicalText
            header.append(
                "\(name):{\"dtype\":\"F32\",\"shape\":\(tensor.shape),\"data_offsets\":[\(begin),\(data.count)]}")
        }
        return WeightsTests.file(Array("{\(header.joined(separator: ","))}".utf8), data: data)
    }
}

/// A model with one layer of each kind that a LoRA can change. Its text has the width 3.
enum TinyModel {
    static let toQ = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    static let toOut = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"
    static let crossK = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    static let projIn = "down_blocks.0.attentions.0.proj_in"
    static let kernel = "down_blocks.0.resnets.0.conv1"
    static let time = "down_blocks.0.resnets.0.time_emb_proj"
    static let textQ = "text_model.encoder.layers.0.self_attn.q_proj"
    static let textOut = "text_model.encoder.layers.0.self_attn.out_proj"

    static let unet: [Numbers] = [
        Numbers(toQ + ".weight", [2, 2], seed: 1), Numbers(toOut + ".weight", [2, 2], seed: 2),
        Numbers(crossK + ".weight", [2, 3], seed: 3), Numbers(projIn + ".weight", [2, 2, 1, 1], seed: 4),
        Numbers(kernel + ".weight", [3, 2, 3, 3], seed: 5), Numbers(time + ".weight", [2, 4], seed: 6),
        Numbers("down_blocks.0.resnets.0.norm1.weight", [2], seed: 7),
    ]
    static let text: [Numbers] = [
        Numbers(textQ + ".weight", [3, 3], seed: 8), Numbers(textOut + ".weight", [3, 3], seed: 9),
    ]

    /// - Parameters:
    ///   - two: with a second text encoder, as SDXL has.
    ///   - secondText: its tensors.
    static func source(two: Bool = false, secondText: [Numbers] = text) -> ModelSource {
        let blocks =
            #""down_block_types":["CrossAttnDownBlock2D"],"up_block_types":["CrossAttnUpBlock2D"],"layers_per_block":1"#
        let configuration = two ? "{\(blocks),\"addition_embed_type\":\"text_time\"}" : "{\(blocks)}"
        let names =
            ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] + (two ? ["text_encoder_2", "tokenizer_2"] : [])
        let index = "{\(names.map { "\"\($0)\":[\"library\",\"Class\"]" }.joined(separator: ","))}"
        var files = [
            "model_index.json": Array(index.utf8), "unet/config.json": Array(configuration.utf8),
            "unet/diffusion_pytorch_model.safetensors": Numbers.file(unet), "text_encoder/config.json": Array("{}".utf8),
            "text_encoder/model.safetensors": Numbers.file(text), "vae/config.json": Array("{}".utf8),
            "vae/diffusion_pytorch_model.safetensors": Numbers.file(text), "scheduler/scheduler_config.json": Array("{}".utf8),
        ]
        for tokenizer in ["tokenizer"] + (two ? ["tokenizer_2"] : []) {
            files[tokenizer + "/vocab.json"] = Array("{}".utf8)
            files[tokenizer + "/merges.txt"] = Array("#version\n".utf8)
        }
        if two {
            files["text_encoder_2/config.json"] = Array("{}".utf8)
            files["text_encoder_2/model.safetensors"] = Numbers.file(secondText)
        }
        return .embedded(name: "tiny", files: files.mapValues(permanent))
    }

    static func weight(_ layer: String) -> Numbers { (unet + text).first { $0.name == layer + ".weight" }! }
}

func lora(_ tensors: [Numbers], metadata: [String: String] = [:], name: String = "test-lora.safetensors") throws -> LoRAFile {
    try LoRAFile(permanent: permanent(Numbers.file(tensors, metadata: metadata)), name: name)
}
