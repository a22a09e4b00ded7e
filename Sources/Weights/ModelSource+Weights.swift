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
    /// Names under which diffusers and transformers store weights.
    private static let stems = ["diffusion_pytorch_model", "model"]

    /// The weights of a component as the model's files hold them, `unet`, `vae`, `text_encoder` or `text_encoder_2`: all files
    /// opened and checked, no value read.
    ///
    /// Looked for are `diffusion_pytorch_model.safetensors` and `model.safetensors`, and the same with `.index.json` for
    /// shards; exactly one of the four must be there. Each call gives a scope of its own that knows what was taken from it.
    ///
    /// Throws `.notFound`, `.unsupportedFormat` when there are only pickles, and whatever is wrong with the files.
    func storedWeights(component: String) throws(WeightsError) -> WeightScope {
        let paths = try weightFiles(component: component)
        guard let indexPath = paths.index else {
            return WeightScope(
                StoredWeights(
                    try paths.files.map { path throws(WeightsError) in try open(path) }, name: location(of: component)))
        }
        let index = try ShardIndex(json(indexPath), name: location(of: indexPath))
        var shards: [String: SafetensorsFile] = [:]
        for file in index.files { shards[file] = try open(component + "/" + file) }
        try index.check(against: shards, name: location(of: indexPath))
        return WeightScope(StoredWeights(index.files.compactMap { shards[$0] }, name: location(of: component)))
    }

    private func open(_ path: String) throws(WeightsError) -> SafetensorsFile {
        try SafetensorsFile(content: content(path), name: location(of: path))
    }

    /// Which files `weights(component:)` opens.
    func weightFiles(component: String) throws(WeightsError) -> WeightFiles {
        let single = ModelSource.stems.map { "\(component)/\($0).safetensors" }
        let candidates = (single + single.map { $0 + ".index.json" }).filter { exists($0) }
        guard let found = candidates.first else { throw noWeights(component) }
        guard candidates.count == 1 else {
            throw WeightsError(
                .malformed,
                "\(location(of: component)) holds weights twice, \(candidates.joined(separator: " and ")); remove one.")
        }
        guard found.hasSuffix(".index.json") else { return WeightFiles(index: nil, files: [found]) }
        let index = try ShardIndex(json(found), name: location(of: found))
        return WeightFiles(index: found, files: index.files.map { component + "/" + $0 })
    }

    /// Says what is there instead, where it is something known.
    private func noWeights(_ component: String) -> WeightsError {
        let folder = location(of: component)
        for stem in ModelSource.stems + ["pytorch_model"] {
            for ending in ForeignFormat.pickleEndings where exists("\(component)/\(stem)\(ending)") {
                return ForeignFormat.pickle.refusal(location(of: "\(component)/\(stem)\(ending)"))
            }
        }
        for stem in ModelSource.stems {
            for variant in ["fp16", "bf16", "non_ema", "ema"] where exists("\(component)/\(stem).\(variant).safetensors") {
                return WeightsError(
                    .notFound,
                    "\(folder) has only the variant \(stem).\(variant).safetensors; rename it to \(stem).safetensors to use it."
                )
            }
        }
        return WeightsError(
            .notFound,
            "\(folder) has no weights: neither diffusion_pytorch_model.safetensors nor model.safetensors nor an index of "
                + "shards is there."
        )
    }
}
