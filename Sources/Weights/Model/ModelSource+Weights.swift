import Sentences

/// The files that hold the weights of one component.
struct WeightFiles: Equatable {
    /// Path of the index below the model's folder, nil when there is one file.
    var index: String?
    /// Paths of the `.safetensors` files below the model's folder, sorted.
    var files: [String]

    /// All paths, the index first.
    var paths: [String] { (index.map { [$0] } ?? []) + files }
}

extension ModelSource {
    /// File names of diffusers' and transformers' weights.
    private static let stems = ["diffusion_pytorch_model", "model"]
    /// Variants that are known to be published.
    private static let knownVariants = ["fp16", "bf16", "fp32", "ema", "non_ema"]
    /// Weights for other programs.
    private static let otherWeights = [
        ("diffusion_flax_model.msgpack", "Flax"), ("flax_model.msgpack", "Flax"), ("model.onnx", "ONNX"),
        ("openvino_model.xml", "OpenVINO"), ("tf_model.h5", "TensorFlow"),
    ]
    /// The variant to use if there is no other file: the same weights in half precision.
    private static let variantByDefault = "fp16"

    /// The weights that `weights(component:)` gives, without LoRA files.
    ///
    /// A folder must hold exactly one of `diffusion_pytorch_model.safetensors`, `model.safetensors`, and the same with
    /// `.index.json` for shards. The chosen variant comes first (`model.fp16.safetensors`,
    /// `model.safetensors.index.fp16.json`), and fp16 last.
    func storedWeights(component: String) throws(WeightsError) -> WeightScope {
        WeightScope(StoredWeights(try storedComponent(component), ignoresUnknown: ignoresUnknownTensors))
    }

    /// The tensors of a component by their paths in the network. Opens and checks all files.
    func storedComponent(_ component: String) throws(WeightsError) -> StoredComponent {
        if let renamed = renamed[component] { return renamed }
        let paths = try weightFiles(component: component)
        let files: [SafetensorsFile]
        if let indexPath = paths.index {
            let index = try ShardIndex(json(indexPath), name: location(of: indexPath))
            var shards: [String: SafetensorsFile] = [:]
            for file in index.files { shards[file] = try store.safetensors(component + "/" + file) }
            let wrapper = try NameWrapper(Array(shards.values), component)
            try index.check(against: shards, name: location(of: indexPath), isPart: wrapper.isInside)
            files = index.files.compactMap { shards[$0] }
        } else {
            files = try paths.files.map { path throws(WeightsError) in try store.safetensors(path) }
        }
        let levels = component == "vae" ? Checkpoint.vaeLevels(try json("vae/config.json")) : 1
        return try StoredComponent(component, files: files, name: location(of: component), vaeLevels: levels)
    }

    /// Whether a file of the weights, or a LoRA file, is another one than when it was opened. Then its bytes may not be
    /// those of the identity.
    public func hasChanged() throws(WeightsError) -> Bool {
        try usedWeights().values.contains(where: \.hasChanged) || loras?.uses.contains { $0.file.hasChanged } == true
    }

    /// All weight files of the model, by their paths in its identity.
    func usedWeights() throws(WeightsError) -> [String: FileBytes] {
        var files: [String: FileBytes] = [:]
        let components = try ModelIdentity.components(of: self)
        for component in ModelIdentity.weightComponents where components.contains(component) {
            if let renamed = renamed[component], let label = renamed.label {
                files[label] = renamed.files[0].content
                continue
            }
            for path in try weightFiles(component: component).paths { files[path] = try content(path) }
        }
        return files
    }

    /// The files of `weights(component:)` in a folder; the empty component is the folder itself.
    func weightFiles(component: String) throws(WeightsError) -> WeightFiles {
        guard let files = try existingWeightFiles(component: component) else { throw noWeights(component) }
        return files
    }

    /// The same; nil where there are none.
    func existingWeightFiles(component: String) throws(WeightsError) -> WeightFiles? {
        let wishes: [String?] = (variant.map { [$0] } ?? []) + [nil, ModelSource.variantByDefault]
        for wish in wishes {
            if let files = try weightFiles(component, wish) { return files }
        }
        return nil
    }

    private func weightFiles(_ component: String, _ variant: String?) throws(WeightsError) -> WeightFiles? {
        let middle = variant.map { "." + $0 } ?? ""
        let folder = component.isEmpty ? "" : component + "/"
        let single = ModelSource.stems.map { "\(folder)\($0)\(middle).safetensors" }
        let indexes = ModelSource.stems.map { "\(folder)\($0).safetensors.index\(middle).json" }
        let candidates = (single + indexes).filter { exists($0) }
        guard let found = candidates.first else { return nil }
        guard candidates.count == 1 else {
            throw .malformed(
                "\(component.isEmpty ? name : location(of: component)) holds weights twice, \(candidates.joined(separator: " and ")); remove one."
            )
        }
        guard found.hasSuffix(".json") else { return WeightFiles(index: nil, files: [found]) }
        let index = try ShardIndex(json(found), name: location(of: found))
        return WeightFiles(index: found, files: index.files.map { folder + $0 })
    }

    /// Throws unless some component has weights of the variant. Others may lack it: publishers may store a U-Net with and
    /// without averaging, and one text encoder.
    func requireVariant(_ variant: String) throws(WeightsError) {
        guard isWord(variant, and: "_-"), (1...32).contains(variant.utf8.count) else {
            throw .badOption("\(quoted(variant)) is not a variant; name one such as fp16.")
        }
        let components = try ModelIdentity.components(of: self)
        for component in ModelIdentity.weightComponents where components.contains(component) {
            if try weightFiles(component, variant) != nil { return }
        }
        throw .notFound("\(name) has no weights of the variant \(variant); leave \(.variant) out.")
    }

    /// The error for missing weights, with other files found in their place.
    private func noWeights(_ component: String) -> WeightsError {
        let (folder, below) = component.isEmpty ? (name, "") : (location(of: component), component + "/")
        for stem in ModelSource.stems + ["pytorch_model"] {
            for ending in ForeignFormat.pickleEndings where exists("\(below)\(stem)\(ending)") {
                let path = "\(below)\(stem)\(ending)"
                let refusal = (try? content(path)).flatMap { ForeignFormat.refusal($0, named: location(of: path)) }
                return refusal ?? ForeignFormat.pickleRefusal(location(of: path))
            }
        }
        for stem in ModelSource.stems {
            for variant in ModelSource.knownVariants where exists("\(below)\(stem).\(variant).safetensors") {
                return .notFound(
                    "\(folder) has only the variant \(stem).\(variant).safetensors; ask for it with \(.variant) \(variant).")
            }
        }
        for (file, what) in ModelSource.otherWeights where exists(below + file) {
            return .unsupportedFormat(
                "\(folder) has weights only for \(what) (\(file)), which is not supported; use the model's .safetensors files.")
        }
        return .notFound(
            "\(folder) has no weights: neither diffusion_pytorch_model.safetensors nor model.safetensors nor an index of "
                + "shards is there.")
    }
}
