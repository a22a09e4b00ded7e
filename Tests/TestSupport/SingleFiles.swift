public import Foundation
import StrictJSON
import TensorCore
import Weights

/// One tensor as a safetensors file stores it.
public struct FileTensor: Sendable, Equatable {
    public var name: String
    public var type: String
    public var shape: [Int]
    public var bytes: [UInt8]

    public init(_ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]) {
        (self.name, self.type, self.shape, self.bytes) = (name, type, shape, bytes)
    }

    /// A tensor of f32 values.
    public static func f32(_ name: String, _ values: [Float], shape: [Int]) -> FileTensor {
        FileTensor(
            name, "F32", shape, values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } })
    }

    /// The values as f32.
    public var values: [Float] {
        FileTensor.file([self]).withUnsafeBytes { bytes in
            guard let file = try? SafetensorsFile(permanent: bytes, name: "one"), let tensor = try? file.tensor(name) else {
                return []
            }
            return tensor.array
        }
    }

    /// The same tensor stored as f32.
    public func widened() -> FileTensor { .f32(name, values, shape: shape) }

    /// A safetensors file of the tensors, in this order.
    public static func file(_ tensors: [FileTensor], metadata: [String: String] = [:]) -> [UInt8] {
        var header: [String] = []
        var data: [UInt8] = []
        if !metadata.isEmpty {
            let members = metadata.sorted { $0.key < $1.key }.map {
                "\(JSONValue.string($0.key).canonicalText):\(JSONValue.string($0.value).canonicalText)"
            }
            header.append("\"__metadata__\":{\(members.joined(separator: ","))}")
        }
        for tensor in tensors {
            let name = JSONValue.string(tensor.name).canonicalText
            let range = "[\(data.count),\(data.count + tensor.bytes.count)]"
            header.append("\(name):{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),\"data_offsets\":\(range)}")
            data += tensor.bytes
        }
        let text = Array("{\(header.joined(separator: ","))}".utf8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text + data
    }
}

/// Writes checkpoints in the original layouts from model folders: the inverse of the program's reader.
public enum SingleFiles {
    /// LDM's names with CLIP (Stable Diffusion 1) or OpenCLIP (2), and SGM's with both (XL).
    public enum Layout: Sendable { case first, second, xl }

    /// All tensors of one component of a model folder.
    public static func tensors(of component: String, in model: URL) throws -> [FileTensor] {
        let folder = model.appendingPathComponent(component)
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".safetensors") }
        return try files.sorted().flatMap { name in
            let file = try SafetensorsFile(path: folder.appendingPathComponent(name).path)
            return file.tensors.keys.sorted().compactMap { key in
                file.withBytes(of: key) { FileTensor(key, $1.elementType.rawValue, $1.shape, Array($0)) }
            }
        }
    }

    /// A checkpoint with all tensors that real ones hold, also those without a meaning for a render.
    public static func checkpoint(of model: URL, _ layout: Layout) throws -> [FileTensor] {
        let source = try ModelSource.folder(model.path)
        let names = OriginalUNetNames(try UNetTopology(configuration: source.json("unet/config.json")))
        var tensors = try tensors(of: "unet", in: model).map { tensor in
            renamed(tensor, "model.diffusion_model." + (names.original(tensor.name) ?? "?" + tensor.name))
        }
        tensors += try vae(of: model).map { renamed($0, "first_stage_model." + $0.name) }
        let text = try Self.tensors(of: "text_encoder", in: model)
        switch layout {
        case .first: tensors += text.map { renamed($0, "cond_stage_model.transformer." + $0.name) }
        case .second: tensors += openCLIP(text, "cond_stage_model.model.") + unusedLayer(text)
        case .xl:
            tensors += text.map { renamed($0, "conditioner.embedders.0.transformer." + $0.name) }
            tensors += try openCLIP(Self.tensors(of: "text_encoder_2", in: model), "conditioner.embedders.1.model.")
        }
        tensors.append(.f32("alphas_cumprod", [0.5], shape: [1]))
        tensors.append(.f32("model_ema.diffusion_modelinput_blocks00weight", [7], shape: [1]))
        tensors.append(.f32("cond_stage_model.logit_scale", [1], shape: []))
        tensors.append(
            FileTensor(
                "cond_stage_model.transformer.text_model.embeddings.position_ids", "I64", [1],
                [UInt8](repeating: 0, count: 8)))
        return tensors
    }

    /// The autoencoder in LDM's names, without a prefix.
    public static func vae(of model: URL) throws -> [FileTensor] {
        let tensors = try tensors(of: "vae", in: model)
        let levels = Set(
            tensors.compactMap { $0.name.hasPrefix("decoder.up_blocks.") ? $0.name.split(separator: ".")[2] : nil })
        return tensors.map { tensor in
            var shape = tensor.shape
            // The attention's matrices are 1×1 convolutions there.
            if tensor.name.contains(".attentions."), shape.count == 2 { shape += [1, 1] }
            return FileTensor(vaeName(tensor.name, levels: levels.count), tensor.type, shape, tensor.bytes)
        }
    }

    private static func renamed(_ tensor: FileTensor, _ name: String) -> FileTensor {
        var tensor = tensor
        tensor.name = name
        return tensor
    }

    private static func vaeName(_ name: String, levels: Int) -> String {
        var parts = name.split(separator: ".").map(String.init)
        let places = [
            "conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut", "group_norm": "norm", "to_q": "q", "to_k": "k",
            "to_v": "v", "resnets": "block", "downsamplers": "downsample", "upsamplers": "upsample", "down_blocks": "down",
        ]
        if parts.count > 2, parts[1] == "up_blocks", let level = Int(parts[2]) {
            (parts[1], parts[2]) = ("up", String(levels - 1 - level))
        }
        if parts.count > 3, parts[1] == "mid_block" {
            parts[1] = "mid"
            parts[2] = parts[2] == "attentions" ? "attn_1" : parts[3] == "0" ? "block_1" : "block_2"
            parts.remove(at: 3)
            if parts[3] == "to_out" {
                parts[3] = "proj_out"
                parts.remove(at: 4)
            }
        }
        parts = parts.map { places[$0] ?? $0 }
        if let place = parts.firstIndex(where: { $0 == "downsample" || $0 == "upsample" }) { parts.remove(at: place + 1) }
        return parts.joined(separator: ".")
    }

    /// Parts of Stable Diffusion 2's files that its pipelines leave out: the last layer and the projection.
    private static func unusedLayer(_ text: [FileTensor]) -> [FileTensor] {
        let layers = text.compactMap { $0.name.contains(".encoder.layers.") ? Int($0.name.split(separator: ".")[3]) : nil }
        let prefix = "cond_stage_model.model."
        return [
            .f32("\(prefix)transformer.resblocks.\((layers.max() ?? 0) + 1).ln_1.bias", [1], shape: [1]),
            .f32("\(prefix)text_projection", [1], shape: [1, 1]),
        ]
    }

    /// A matrix with rows and columns exchanged.
    private static func transposed(_ matrix: FileTensor, _ name: String) -> FileTensor {
        let (rows, columns) = (matrix.shape[0], matrix.shape[1])
        let width = matrix.bytes.count / (rows * columns)
        var bytes: [UInt8] = []
        for column in 0..<columns {
            for row in 0..<rows {
                let start = (row * columns + column) * width
                bytes += matrix.bytes[start..<start + width]
            }
        }
        return FileTensor(name, matrix.type, [columns, rows], bytes)
    }

    /// OpenCLIP's names, fused matrices and transposed projection.
    private static func openCLIP(_ text: [FileTensor], _ prefix: String) -> [FileTensor] {
        let outer = [
            "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
            "text_model.embeddings.position_embedding.weight": "positional_embedding",
            "text_model.final_layer_norm.weight": "ln_final.weight", "text_model.final_layer_norm.bias": "ln_final.bias",
        ]
        let inner = [
            "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
            "self_attn.out_proj": "attn.out_proj",
        ]
        var result: [FileTensor] = []
        var fused: [String: [String: FileTensor]] = [:]
        for tensor in text {
            if let name = outer[tensor.name] { result.append(renamed(tensor, prefix + name)) }
            if tensor.name == "text_projection.weight" { result.append(transposed(tensor, prefix + "text_projection")) }
            let parts = tensor.name.split(separator: ".").map(String.init)
            guard parts.count > 5, parts[1] == "encoder", let layer = Int(parts[3]), let parameter = parts.last else {
                continue
            }
            let module = parts[4..<(parts.count - 1)].joined(separator: ".")
            if let name = inner[module] {
                result.append(renamed(tensor, "\(prefix)transformer.resblocks.\(layer).\(name).\(parameter)"))
            } else {
                fused["\(layer).attn.in_proj_\(parameter)", default: [:]][String(module.suffix(6))] = tensor
            }
        }
        for (name, three) in fused.sorted(by: { $0.key < $1.key }) {
            let all = ["q_proj", "k_proj", "v_proj"].compactMap { three[$0] }
            guard let first = all.first, all.count == 3 else { continue }
            result.append(
                FileTensor(
                    "\(prefix)transformer.resblocks.\(name)", first.type, [first.shape[0] * 3] + first.shape.dropFirst(),
                    all.flatMap(\.bytes)))
        }
        return result
    }
}
