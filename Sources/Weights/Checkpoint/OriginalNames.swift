/// The names of an autoencoder's tensors in the original programs (LDM), and in diffusers.
///
/// Both number the encoder's levels from the image to the latent. LDM numbers the decoder's levels the same way, diffusers the
/// other way round.
struct OriginalVAENames {
    /// Levels of encoder and decoder.
    let levels: Int

    /// The attention's layers by all names in LDM, old and new diffusers, and converters.
    private static let attentionLayers = [
        "norm": "group_norm", "group_norm": "group_norm", "q": "to_q", "query": "to_q", "to_q": "to_q", "k": "to_k",
        "key": "to_k", "to_k": "to_k", "v": "to_v", "value": "to_v", "to_v": "to_v", "proj_out": "to_out.0",
        "proj_attn": "to_out.0", "to_out": "to_out.0", "to_out.0": "to_out.0",
    ]

    /// diffusers' path with today's names of the attention's layers.
    static func currentAttention(_ path: String) -> String {
        let place = ".mid_block.attentions.0."
        guard let found = path.firstRange(of: place), let dot = path.lastIndex(of: "."), dot >= found.upperBound,
            let layer = attentionLayers[String(path[found.upperBound..<dot])]
        else { return path }
        return path[..<found.upperBound] + layer + path[dot...]
    }

    /// diffusers' path of a tensor from the original one without `first_stage_model.`; nil for other names.
    func diffusers(_ original: String) -> String? {
        let parts = original.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard let head = parts.first, let parameter = parts.last else { return nil }
        if ["quant_conv", "post_quant_conv"].contains(head) { return parts.count == 2 ? original : nil }
        guard ["encoder", "decoder"].contains(head), parts.count >= 3 else { return nil }
        let inner = Array(parts.dropFirst().dropLast())
        guard let module = inner[0] == "mid" ? mid(inner) : level(inner, isDecoder: head == "decoder") ?? outer(inner) else {
            return nil
        }
        return "\(head).\(module).\(parameter)"
    }

    private func outer(_ parts: [String]) -> String? {
        guard parts.count == 1 else { return nil }
        return ["conv_in": "conv_in", "conv_out": "conv_out", "norm_out": "conv_norm_out"][parts[0]]
    }

    private func mid(_ parts: [String]) -> String? {
        guard parts.count >= 3 else { return nil }
        switch parts[1] {
        case "block_1" where parts.count == 3, "block_2" where parts.count == 3:
            return OriginalVAENames.residual(parts[2]).map { "mid_block.resnets.\(parts[1] == "block_1" ? 0 : 1).\($0)" }
        case "attn_1":
            let layer = parts[2...].joined(separator: ".")
            return OriginalVAENames.attentionLayers[layer].map { "mid_block.attentions.0.\($0)" }
        default: return nil
        }
    }

    /// `down.0.block.1.conv1`, `up.3.upsample.conv`
    private func level(_ parts: [String], isDecoder: Bool) -> String? {
        guard parts.count >= 4, parts[0] == (isDecoder ? "up" : "down"), let number = Int(parts[1]),
            (0..<levels).contains(number), String(number) == parts[1]
        else { return nil }
        let block = isDecoder ? "up_blocks.\(levels - 1 - number)" : "down_blocks.\(number)"
        switch (parts[2], parts.count) {
        case ("block", 5):
            guard let layer = Int(parts[3]), layer >= 0, String(layer) == parts[3] else { return nil }
            return OriginalVAENames.residual(parts[4]).map { "\(block).resnets.\(layer).\($0)" }
        case ("upsample", 4) where isDecoder && parts[3] == "conv": return "\(block).upsamplers.0.conv"
        case ("downsample", 4) where !isDecoder && parts[3] == "conv": return "\(block).downsamplers.0.conv"
        default: return nil
        }
    }

    private static func residual(_ layer: String) -> String? {
        ["norm1", "conv1", "norm2", "conv2"].contains(layer) ? layer : layer == "nin_shortcut" ? "conv_shortcut" : nil
    }
}

/// The names of a text encoder's tensors in OpenCLIP (Stable Diffusion 2, the second encoder of SDXL), and in transformers.
///
/// OpenCLIP stores the matrices for query, key and value as one, and the projection with rows and columns exchanged.
enum OpenCLIPNames {
    private static let layers = [
        "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    ]

    /// The number in `transformer.resblocks.N.…`; nil for other names.
    static func block(_ original: String) -> Int? {
        let prefix = "transformer.resblocks."
        guard original.hasPrefix(prefix) else { return nil }
        let digits = original.dropFirst(prefix.count).prefix { $0 != "." }
        guard let number = Int(digits), number >= 0, String(number) == digits else { return nil }
        return number
    }

    /// Whether a name lies inside the text encoder; OpenCLIP models may hold one for pictures too (`visual.`).
    static func isText(_ original: String) -> Bool {
        let modules: Set<Substring> = ["token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection"]
        return modules.contains(original.prefix { $0 != "." })
    }

    /// transformers' tensors of a stored tensor: one piece, or three. Nil for an unknown name or shape.
    ///
    /// - Parameters:
    ///   - original: the name, without a prefix such as `cond_stage_model.model.`.
    ///   - key: the whole name.
    ///   - scale: the name of its scale.
    static func pieces(_ original: String, key: String, shape: [Int], scale: String?) -> [String: TensorPiece]? {
        switch original {
        case "token_embedding.weight":
            return ["text_model.embeddings.token_embedding.weight": TensorPiece(key: key, shape: shape, scale: scale)]
        case "positional_embedding":
            return ["text_model.embeddings.position_embedding.weight": TensorPiece(key: key, shape: shape)]
        case "ln_final.weight", "ln_final.bias":
            let parameter = original.dropFirst("ln_final".count)
            return ["text_model.final_layer_norm\(parameter)": TensorPiece(key: key, shape: shape)]
        case "text_projection":
            guard shape.count == 2 else { return nil }
            return ["text_projection.weight": TensorPiece(key: key, shape: [shape[1], shape[0]], isTransposed: true)]
        default: break
        }
        guard let number = block(original) else { return nil }
        let inner = String(original.dropFirst("transformer.resblocks.\(number).".count))
        let layer = "text_model.encoder.layers.\(number)"
        if inner == "attn.in_proj_weight" || inner == "attn.in_proj_bias" {
            let parameter = inner == "attn.in_proj_weight" ? "weight" : "bias"
            guard let rows = shape.first, rows > 0, rows % 3 == 0 else { return nil }
            let third = rows / 3
            var pieces: [String: TensorPiece] = [:]
            for (index, name) in ["q_proj", "k_proj", "v_proj"].enumerated() {
                pieces["\(layer).self_attn.\(name).\(parameter)"] = TensorPiece(
                    key: key, shape: [third] + shape.dropFirst(), rows: index * third..<(index + 1) * third)
            }
            return pieces
        }
        guard let dot = inner.lastIndex(of: "."), let module = layers[String(inner[..<dot])] else { return nil }
        return ["\(layer).\(module)\(inner[dot...])": TensorPiece(key: key, shape: shape, scale: scale)]
    }
}
