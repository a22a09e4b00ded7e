/// What the tensors of one component's files are in diffusers' naming, and which of them belong to the network at all.
struct ComponentNames {
    private let component: String
    /// LDM's names, for an autoencoder that has them.
    private let original: OriginalVAENames?

    /// - Parameter file: without a wrapper around its names.
    init(_ component: String, _ file: SafetensorsFile) {
        self.component = component
        let isOriginal = component == "vae" && !file.tensors.keys.contains { $0.hasPrefix("decoder.up_blocks.") }
        original = isOriginal ? OriginalVAENames(levels: Checkpoint.vaeLevels(file.tensors.keys, prefix: "")) : nil
    }

    /// The path of a tensor in diffusers' naming; its own name where that is inside of the network and not understood, so that
    /// it shows as unknown to the network; nil for what is no part of it.
    func path(_ key: String) -> String? {
        guard ComponentNames.isInside(key, component), !ComponentNames.isHarmless(key) else { return nil }
        guard component == "vae" else { return key }
        guard let original else { return OriginalVAENames.currentAttention(key) }
        return original.diffusers(key) ?? key
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

    /// Constants and parts that files are known to hold and that no picture depends on, by the ends of their names: they are
    /// left alone without a word.
    private static let harmlessEndings = ["position_ids", "logit_scale", "attn_mask"]
    private static let harmlessBeginnings = ["loss.", "model_ema."]

    static func isHarmless(_ key: String) -> Bool {
        harmlessEndings.contains { key == $0 || key.hasSuffix("." + $0) } || harmlessBeginnings.contains { key.hasPrefix($0) }
    }

    /// How names begin in files of a component, and in complete checkpoints.
    fileprivate static func beginnings(_ component: String) -> [String] {
        switch component {
        case "unet": ["down_blocks.", "conv_in."]
        case "vae": ["decoder."]
        case "text_encoder", "text_encoder_2": ["text_model.", "encoder.layers."]
        default: [CheckpointTraits.unetPrefix]
        }
    }
}

extension SafetensorsFile {
    /// What training programs and converters put before every name.
    private static let wrappers = [
        "state_dict.", "model.", "module.", "vae.", CheckpointTraits.vaePrefix, "unet.", "text_encoder.", "text_encoder_2.",
    ]
    private static let maxWrappers = 4

    /// The file with the words taken off that some programs put before all names of what they save, such as `state_dict.` or
    /// `module.`; the file itself where there are none. Names without the words keep what they are.
    ///
    /// - Parameter component: whose names are looked for; nil for those of a complete checkpoint.
    /// - Throws: `.malformed` when a name is there with the words and without.
    func unwrapped(_ component: String?) throws(WeightsError) -> SafetensorsFile {
        let beginnings = ComponentNames.beginnings(component ?? "")
        func begins(_ name: some StringProtocol) -> Bool { beginnings.contains { name.hasPrefix($0) } }
        guard !tensors.keys.contains(where: begins) else { return self }
        let found = tensors.keys.compactMap { key -> String? in
            var rest = key[...]
            for _ in 0..<Self.maxWrappers {
                guard let word = Self.wrappers.first(where: { rest.hasPrefix($0) }) else { return nil }
                rest = rest.dropFirst(word.count)
                if begins(rest) { return String(key[..<rest.startIndex]) }
            }
            return nil
        }
        guard let prefix = found.min() else { return self }
        return try removing(prefix)
    }

    private func removing(_ prefix: String) throws(WeightsError) -> SafetensorsFile {
        var renamed: [String: StoredTensor] = [:]
        for (key, tensor) in tensors {
            guard renamed.updateValue(tensor, forKey: key.dropping(prefix) ?? key) == nil else {
                throw WeightsError(
                    .malformed,
                    "\(name) holds \(quoted(key.dropping(prefix) ?? key)) with and without \(quoted(prefix)) before it; remove one."
                )
            }
        }
        return SafetensorsFile(self, tensors: renamed)
    }
}
