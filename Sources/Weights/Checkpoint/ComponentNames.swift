/// Translates the tensor names of a component's files into diffusers' naming.
struct ComponentNames {
    private let component: String
    /// LDM's names of an autoencoder. No LDM name has another meaning in diffusers' naming, so tensors may have either.
    private let original: OriginalVAENames

    /// - Parameter vaeLevels: levels of an autoencoder, from its configuration.
    init(_ component: String, vaeLevels: Int) {
        self.component = component
        original = OriginalVAENames(levels: vaeLevels)
    }

    /// The path of a tensor in diffusers' naming; nil outside the network. An unknown name inside it stays, so the network can
    /// report it.
    func path(_ key: String) -> String? {
        guard ComponentNames.isInside(key, component), !ComponentNames.isHarmless(key) else { return nil }
        guard component == "vae" else { return key }
        return original.diffusers(key) ?? OriginalVAENames.currentAttention(key)
    }

    func shape(_ path: String, _ shape: [Int]) -> [Int] {
        component == "vae" ? Checkpoint.vaeShape(path, shape) : shape
    }

    /// The modules of each network in diffusers and transformers. An unknown tensor below one of them would change the picture
    /// in other programs, so it is never ignored silently.
    private static let modules: [String: Set<Substring>] = [
        "unet": [
            "add_embedding", "class_embedding", "conv_in", "conv_norm_out", "conv_out", "down_blocks", "encoder_hid_proj",
            "mid_block", "position_net", "time_embedding", "up_blocks",
        ],
        "vae": ["decoder", "encoder", "post_quant_conv", "quant_conv"],
        "text_encoder": ["embeddings", "encoder", "final_layer_norm", "text_projection"],
    ]

    static func isInside(_ path: String, _ component: String) -> Bool {
        let kind = component == "text_encoder_2" ? "text_encoder" : component
        let inner = kind == "text_encoder" ? path.dropping("text_model.") ?? path : path
        return modules[kind]?.contains(inner.prefix { $0 != "." }) ?? false
    }

    /// Whether the tensor is a known one that no picture depends on: it is ignored without a note.
    static func isHarmless(_ key: String) -> Bool {
        HarmlessTensors.names.contains(key) || HarmlessTensors.endings.contains { key == $0 || key.hasSuffix("." + $0) }
            || HarmlessTensors.beginnings.contains { key.hasPrefix($0) }
    }
}
