import Foundation
import Weights

/// Makes LoRA files for the embedded model.
public enum EmbeddedLoRA {
    /// The changed layers: attention in the U-Net's middle, its last convolution, attention and feed-forward part of the
    /// text encoder.
    private static let layers = [
        "unet": ["mid_block.attentions.0.transformer_blocks.0.attn1.to_v", "conv_out"],
        "text_encoder": ["text_model.encoder.layers.0.self_attn.v_proj", "text_model.encoder.layers.1.mlp.fc1"],
    ]

    /// Writes a file in PEFT's naming with seeded factors of rank 2, strong enough to be seen in any picture.
    ///
    /// - Parameter unetLayers: other layers of the U-Net to change.
    public static func write(
        _ path: String, seed: UInt64, unet: Bool = true, text: Bool = false, unetLayers: [String]? = nil
    ) throws {
        var numbers = TestNumbers(seed: seed)
        var (header, data): ([String], [UInt8]) = ([], [])
        func add(_ name: String, _ shape: [Int]) {
            let values = numbers.floats(shape.reduce(1, *), scale: 0.2)
            let begin = data.count
            data += values.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian, Array.init) }
            header.append("\"\(name)\":{\"dtype\":\"F32\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(data.count)]}")
        }
        let source = try ModelSource.folder(Fixtures.embeddedModel.path)
        for (component, wanted) in [("unet", unet), ("text_encoder", text)] where wanted {
            let scope = try source.weights(component: component)
            for layer in (component == "unet" ? unetLayers : nil) ?? layers[component] ?? [] {
                guard let shape = scope.shape(of: layer + ".weight") else { throw CocoaError(.keyValueValidation) }
                add("\(component).\(layer).lora_A.weight", [2] + shape.dropFirst())
                add("\(component).\(layer).lora_B.weight", [shape[0], 2] + shape.dropFirst(2).map { _ in 1 })
            }
        }
        let head = Array("{\(header.joined(separator: ","))}".utf8)
        let file = withUnsafeBytes(of: UInt64(head.count).littleEndian) { Array($0) } + head + data
        try Data(file).write(to: URL(fileURLWithPath: path))
    }
}
