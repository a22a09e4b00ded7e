/// The names of an autoencoder's tensors in the original programs (LDM), and in diffusers.
///
/// Both number the encoder's levels from the image to the latent. LDM numbers the decoder's levels the same way, diffusers the
/// other way round.
struct OriginalVAENames {
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
        let module = module(Array(parts.dropFirst().dropLast()), isDecoder: head == "decoder")
        return module.map { "\(head).\($0).\(parameter)" }
    }

    /// The module of diffusers for one of LDM's, such as `mid.block_1.norm1`, `down.0.block.1.conv1`, `up.3.upsample.conv`.
    private func module(_ parts: [String], isDecoder: Bool) -> String? {
        switch (parts[0], parts.count) {
        case ("conv_in", 1), ("conv_out", 1): return parts[0]
        case ("norm_out", 1): return "conv_norm_out"
        case ("mid", 3...) where parts[1] == "attn_1":
            let layer = OriginalVAENames.attentionLayers[parts[2...].joined(separator: ".")]
            return layer.map { "mid_block.attentions.0.\($0)" }
        case ("mid", 3):
            guard let block = ["block_1": 0, "block_2": 1][parts[1]] else { return nil }
            return OriginalVAENames.residual(parts[2]).map { "mid_block.resnets.\(block).\($0)" }
        case (isDecoder ? "up" : "down", 4...):
            guard let number = plainNumber(parts[1]), number < levels else { return nil }
            let block = isDecoder ? "up_blocks.\(levels - 1 - number)" : "down_blocks.\(number)"
            if parts.count == 5, parts[2] == "block", let layer = plainNumber(parts[3]) {
                return OriginalVAENames.residual(parts[4]).map { "\(block).resnets.\(layer).\($0)" }
            }
            guard parts[2...] == [isDecoder ? "upsample" : "downsample", "conv"] else { return nil }
            return block + (isDecoder ? ".upsamplers.0.conv" : ".downsamplers.0.conv")
        default: return nil
        }
    }

    private static func residual(_ layer: String) -> String? {
        ["norm1", "conv1", "norm2", "conv2"].contains(layer) ? layer : layer == "nin_shortcut" ? "conv_shortcut" : nil
    }
}

/// A number from 0 on, as names of tensors write it: without a sign and leading zeros.
private func plainNumber(_ digits: some StringProtocol) -> Int? {
    Int(digits).flatMap { $0 >= 0 && String($0) == digits ? $0 : nil }
}

/// The names of a text encoder's tensors in OpenCLIP (Stable Diffusion 2, the second encoder of SDXL), and in transformers.
///
/// OpenCLIP stores the matrices for query, key and value as one, and the projection with rows and columns exchanged.
enum OpenCLIPNames {
    private static let outerPaths = [
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final.weight": "text_model.final_layer_norm.weight", "ln_final.bias": "text_model.final_layer_norm.bias",
    ]
    private static let layers = [
        "ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    ]

    /// The number in `transformer.resblocks.N.…`; nil for other names.
    static func block(_ original: String) -> Int? {
        guard let digits = original.dropping("transformer.resblocks.")?.prefix(while: { $0 != "." }) else { return nil }
        return plainNumber(digits)
    }

    /// Whether a name lies inside the text encoder; OpenCLIP models may hold one for pictures too (`visual.`).
    static func isText(_ original: String) -> Bool {
        let modules: Set<Substring> = ["token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection"]
        return modules.contains(original.prefix { $0 != "." })
    }

    /// transformers' tensors of a stored tensor: one piece, or three. Nil for an unknown name or shape.
    ///
    /// - Parameter original: the name `key` without a prefix such as `cond_stage_model.model.`.
    static func pieces(_ original: String, key: String, shape: [Int], scale: String?) -> [String: TensorPiece]? {
        let whole = TensorPiece(key: key, shape: shape, scale: scale)
        if let path = outerPaths[original] { return [path: whole] }
        if original == "text_projection" {
            guard shape.count == 2 else { return nil }
            return ["text_projection.weight": TensorPiece(key: key, shape: [shape[1], shape[0]], isTransposed: true)]
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
        return ["\(layer).\(module)\(inner[dot...])": whole]
    }
}
