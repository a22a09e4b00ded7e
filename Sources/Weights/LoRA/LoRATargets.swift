import Sentences

/// The layers of a model that a LoRA can change, by their names in LoRA files.
struct LoRATargets {
    /// The model in messages.
    let model: String
    /// For each network: path and shape of a layer's weight, by the layer's path with `_` for `.`.
    private var weights: [LoRANetwork: [String: Target]] = [:]
    let traits: LoRATraits

    struct Target: Equatable {
        let path: String
        let shape: [Int]
    }

    /// Reads the heads of the model's weight files.
    init(_ source: ModelSource) throws(WeightsError) {
        model = source.name
        let components = try ModelIdentity.components(of: source)
        for network in LoRANetwork.allCases where components.contains(network.rawValue) {
            weights[network] = try LoRATargets.layers(of: network, source)
        }
        traits = LoRATraits(
            layers: weights.flatMap { network, layers in layers.map { (network, $0.key, $0.value.shape.dropFirst().first) } })
    }

    private static func layers(of network: LoRANetwork, _ source: ModelSource) throws(WeightsError) -> [String: Target] {
        // No tensor was taken yet, so the unused ones are all.
        let stored = try source.storedWeights(component: network.rawValue).source
        let original =
            network == .unet
            ? try OriginalUNetNames(UNetTopology(configuration: source.json("unet/config.json"))) : nil
        var layers: [String: Target] = [:]
        let prefix = "text_model."
        for path in stored.unusedPaths() {
            guard path.hasSuffix(".weight"), let shape = stored.shape(of: path), shape.count > 1 else { continue }
            let layer = String(path.dropLast(".weight".count))
            let target = Target(path: path, shape: shape)
            layers[flat(layer)] = target
            if let original = original?.original(layer) { layers[flat(original)] = target }
            if network != .unet {
                // Both forms occur, in text encoders and in LoRA files.
                layers[flat(layer.hasPrefix(prefix) ? String(layer.dropFirst(prefix.count)) : prefix + layer)] = target
            }
        }
        return layers
    }

    /// The target of each layer of the file, and the names of ignored tensors.
    ///
    /// - Parameter ignoringUnknown: whether unknown tensors are left out. Layers of an unused text projection always are, as
    ///   trainers write them for every text encoder.
    /// - Throws: `.unusedTensors` with the first layer without a counterpart and the file's likely family, `.misshapenTensor`
    ///   with both shapes, `.malformed` for unknown names and for two names of one layer.
    func match(
        _ lora: LoRAFile, ignoringUnknown: Bool
    ) throws(WeightsError) -> (layers: [(target: Target, layer: LoRALayer)], leftOut: [String]) {
        if let first = lora.unknown.first, !ignoringUnknown {
            let more = lora.unknown.count > 1 ? " and \(lora.unknown.count - 1) more" : ""
            throw .malformed(
                "\(lora.name) cannot be used as a LoRA: it holds the unknown name \(quoted(first))\(more); choose another file, or "
                    + "leave out unknown tensors by \(.ignoreUnknownTensors).")
        }
        var leftOut = lora.unknown + lora.leftovers
        let strangers = lora.layers.filter { weights[$0.network]?[$0.layer] == nil }
        for (index, stranger) in strangers.enumerated() {
            guard ignoringUnknown || LoRATargets.isTextProjection(stranger) else {
                let more = strangers.count - 1 - index
                let others = more > 0 ? " and \(more) more layers have" : " has"
                throw .unusedTensors(
                    "\(lora.name): the layer of \(quoted(stranger.down))\(others) no counterpart in \(model)\(hint(lora)), or "
                        + "leave out unknown tensors by \(.ignoreUnknownTensors).")
            }
            leftOut += [stranger.down, stranger.up]
        }
        return (try matched(lora), leftOut.sorted())
    }

    private static func isTextProjection(_ layer: LoRALayer) -> Bool {
        layer.network != .unet && (layer.layer == "text_projection" || layer.layer == "text_model_text_projection")
    }

    private func matched(_ lora: LoRAFile) throws(WeightsError) -> [(target: Target, layer: LoRALayer)] {
        var matched: [(target: Target, layer: LoRALayer)] = []
        var names: [String: String] = [:]
        for layer in lora.layers {
            guard let target = weights[layer.network]?[layer.layer] else { continue }
            if let other = names.updateValue(layer.down, forKey: layer.network.rawValue + "." + target.path) {
                throw .malformed(
                    "\(lora.name): \(quoted(other)) and \(quoted(layer.down)) both change \(target.path); the file was put together "
                        + "wrongly, use one of its parts.")
            }
            try check(layer, target, lora)
            matched.append((target, layer))
        }
        return matched
    }

    /// The likely family of the LoRA, if it can be told.
    private func hint(_ lora: LoRAFile) -> String {
        let own = LoRATraits(
            layers: lora.layers.map { ($0.network, $0.layer, lora.file.tensors[$0.down]?.shape.dropFirst().first) })
        let difference = own.difference(to: traits).map { ": " + $0 } ?? ""
        return difference + "; choose a LoRA that was made for this model's family"
    }

    private func check(_ layer: LoRALayer, _ target: Target, _ lora: LoRAFile) throws(WeightsError) {
        let tensors = lora.file.tensors
        guard let up = tensors[layer.up]?.shape, let down = tensors[layer.down]?.shape else {
            throw .missingTensor("\(lora.name) has no tensor \(quoted(layer.up)).")
        }
        let wanted = target.shape
        let rank = layer.rank
        let kernel = Array(wanted.dropFirst(2))
        var fits = areAlike(up, [wanted[0], rank])
        if let mid = layer.mid {
            fits = fits && areAlike(down, [rank, wanted[1]])
            fits = fits && tensors[mid]?.shape == [rank, rank] + kernel && wanted.count == 4
        } else {
            fits = fits && areAlike(down, [rank] + wanted.dropFirst())
        }
        guard !fits else { return }
        let middle = layer.mid.flatMap { tensors[$0]?.shape }.map { ", mid \(described($0))" } ?? ""
        throw .misshapenTensor(
            "\(lora.name): \(quoted(layer.down)) of shape \(described(down))\(middle) and its up of shape \(described(up)) make no "
                + "change of \(target.path) of shape \(wanted) in \(model)\(hint(lora)).")
    }
}

/// Differences between the families of Stable Diffusion, from the layers of a model or a LoRA.
struct LoRATraits: Equatable {
    /// Width of the text in the U-Net's cross-attention.
    var textWidth: Int?
    var hasSecondTextEncoder = false
    /// Transformer blocks in the deepest stack; SDXL stacks up to ten, the others one.
    var transformerDepth = 0

    /// - Parameter layers: network, path with `_` for `.`, and number of inputs.
    init(layers: [(network: LoRANetwork, layer: String, inputs: Int?)]) {
        for (network, layer, inputs) in layers {
            if network == .textEncoder2 { hasSecondTextEncoder = true }
            guard network == .unet else { continue }
            if layer.hasSuffix("attn2_to_k") || layer.hasSuffix("attn2_to_v"), let inputs { textWidth = inputs }
            guard let place = layer.firstRange(of: "transformer_blocks_") else { continue }
            let digits = layer[place.upperBound...].prefix { $0.isASCII && $0.isNumber }
            transformerDepth = max(transformerDepth, (Int(digits.prefix(4)) ?? 0) + 1)
        }
    }

    /// The reason why a LoRA seems to be for another family than the model's; nil if there is none.
    func difference(to model: LoRATraits) -> String? {
        if let textWidth, let taken = model.textWidth, textWidth != taken {
            return "it looks like a LoRA for \(Self.family(textWidth)), but the model is one of \(Self.family(taken))"
        }
        if hasSecondTextEncoder && !model.hasSecondTextEncoder {
            return "it looks like a LoRA for SDXL (it changes a second text encoder), but the model has one text encoder"
        }
        if transformerDepth > model.transformerDepth, model.transformerDepth > 0 {
            return
                "it looks like a LoRA for SDXL (it changes \(transformerDepth) transformer blocks in a row), but the model has "
                + "\(model.transformerDepth)"
        }
        return nil
    }

    private static func family(_ textWidth: Int) -> String {
        guard let family = ModelFamily.all.first(where: { $0.textWidth == textWidth }) else {
            return "a model with text of width \(textWidth)"
        }
        return "\(family.title) (text of width \(textWidth))"
    }
}
