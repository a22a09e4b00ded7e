/// What the tensors of one component's files are in diffusers' naming, and which of them belong to the network at all.
struct ComponentNames {
    private let component: String
    /// LDM's names of an autoencoder. No name of theirs is another in diffusers' naming, so each tensor may have either.
    private let original: OriginalVAENames

    /// - Parameter vaeLevels: of an autoencoder, by its configuration.
    init(_ component: String, vaeLevels: Int) {
        self.component = component
        original = OriginalVAENames(levels: vaeLevels)
    }

    /// The path of a tensor in diffusers' naming; its own name where that is inside of the network and not understood, so that
    /// it shows as unknown to the network; nil for what is no part of it.
    func path(_ key: String) -> String? {
        guard ComponentNames.isInside(key, component), !ComponentNames.isHarmless(key) else { return nil }
        guard component == "vae" else { return key }
        return original.diffusers(key) ?? OriginalVAENames.currentAttention(key)
    }

    /// The shape as the network knows it.
    func shape(_ path: String, _ shape: [Int]) -> [Int] {
        component == "vae" ? Checkpoint.vaeShape(path, shape) : shape
    }

    /// The modules of each network that diffusers and transformers have. A tensor below one of them that a network does not
    /// know would change the picture elsewhere, so it is never passed over in silence; all else is no part of the model.
    private static let modules: [String: Set<Substring>] = [
        "unet": [
            "add_embedding", "class_embedding", "conv_in", "conv_norm_out", "conv_out", "down_blocks", "encoder_hid_proj",
            "mid_block", "position_net", "time_embedding", "up_blocks",
        ],
        "vae": ["decoder", "encoder", "post_quant_conv", "quant_conv"],
        "text_encoder": ["embeddings", "encoder", "final_layer_norm", "text_projection"],
    ]

    /// Whether a path lies inside of the component's network.
    static func isInside(_ path: String, _ component: String) -> Bool {
        let kind = component == "text_encoder_2" ? "text_encoder" : component
        let inner = kind == "text_encoder" ? path.dropping("text_model.") ?? path : path
        return modules[kind]?.contains(inner.prefix { $0 != "." }) ?? false
    }

    /// Whether files are known to hold this tensor, and no picture depends on it: it is left alone without a word. All else
    /// that no part of the model asks for, counters of trainers among it, is listed.
    static func isHarmless(_ key: String) -> Bool {
        HarmlessTensors.names.contains(key) || HarmlessTensors.endings.contains { key == $0 || key.hasSuffix("." + $0) }
            || HarmlessTensors.beginnings.contains { key.hasPrefix($0) }
    }
}
