import StrictJSON

extension ModelSource {
    /// This model with the autoencoder `part`.
    ///
    /// A folder brings its configuration; what that leaves out about the scale of latents (`scaling_factor`, `latents_mean`,
    /// `latents_std`) is the model's. A single file takes the whole configuration of the model's own.
    ///
    /// Throws `.unsupportedModel` when its latents have another number of channels than the model's, or when it is part of a
    /// checkpoint whose latents are scaled otherwise.
    func replacingVAE(_ part: ModelPart) throws(WeightsError) -> ModelSource {
        let ownFile = "vae/config.json"
        let own = try json(ownFile)
        guard let channels = (own["latent_channels"] ?? 4).intValue else {
            throw WeightsError(.malformed, "\(location(of: ownFile)): latent_channels is not a whole number.")
        }
        switch part {
        case .folder(let folder): return try replacingVAE(folder, own: own, channels: channels)
        case .file(let content, let name):
            let component = try SeparateVAE.component(
                SafetensorsFile(content: content, name: name), levels: Checkpoint.vaeLevels(own))
            let file = component.files[0]
            let input = component.pieces["decoder.conv_in.weight"]?.shape ?? []
            guard input.count == 4 else {
                throw WeightsError(
                    .unsupportedModel,
                    "\(name) is no autoencoder of Stable Diffusion: it has no decoder.conv_in; name a VAE file or folder.")
            }
            try SeparateVAE.check(channels: input[1], against: channels, name, self.name)
            try checkFamily(ofCheckpoint: file, own)
            let given = [ownFile: FileStore.Given(content: try self.content(ownFile), location: location(of: ownFile))]
            var renamed = self.renamed
            renamed["vae"] = component
            return with(FileStore(store, given: given, hiding: ["vae/"]), renamed: renamed)
        }
    }

    private func replacingVAE(_ folder: FileStore, own: JSONValue, channels: Int) throws(WeightsError) -> ModelSource {
        let inner = SeparateVAE.inner(folder)
        guard folder.exists(inner + "config.json") else {
            throw WeightsError(
                .notFound, "\(folder.name) is no autoencoder's folder: it has no config.json; name a VAE file or folder.")
        }
        var configuration = try folder.json(inner + "config.json")
        guard configuration.objectValue != nil, let found = (configuration["latent_channels"] ?? 4).intValue else {
            throw WeightsError(.malformed, "\(folder.location(of: inner + "config.json")) is no configuration of a VAE.")
        }
        try SeparateVAE.check(channels: found, against: channels, folder.name, name)
        if configuration["scaling_factor"] == nil {
            for key in ["scaling_factor", "latents_mean", "latents_std"] where configuration[key] == nil {
                guard let value = own[key] else { continue }
                configuration = configuration.setting(.object(JSONObject(key, value)))
            }
        }
        let location = folder.location(of: inner + "config.json")
        var given = [
            "vae/config.json": FileStore.Given(content: FileBytes(configuration.canonicalBytes()), location: location)
        ]
        for path in try SeparateVAE.weightFiles(folder, inner, variant) {
            given["vae/" + path] = FileStore.Given(
                content: try folder.content(inner + path), location: folder.location(of: inner + path))
        }
        var renamed = self.renamed
        renamed["vae"] = nil
        return with(FileStore(store, given: given, hiding: ["vae/"]), renamed: renamed)
    }
}

extension ModelSource {
    /// Refuses the autoencoder of a whole checkpoint of another family: it would be used with this model's scale of latents.
    private func checkFamily(ofCheckpoint file: SafetensorsFile, _ own: JSONValue) throws(WeightsError) {
        guard let theirs = SeparateVAE.latents(of: file) else { return }
        let hasStatistics = own["latents_mean"].map { !$0.isNull } ?? false
        let ours: ModelFamily.LatentScale = try hasStatistics ? .playground : family().latents
        guard theirs == ours else {
            throw WeightsError(
                .unsupportedModel,
                "\(file.name) is a checkpoint of \(theirs.title), whose autoencoder scales latents otherwise than that of \(name), "
                    + "a model of \(ours.title); name an autoencoder made for this family of models.")
        }
    }
}

/// An autoencoder outside of a model.
enum SeparateVAE {
    /// Its single file's part of a model's identity.
    static let label = "vae"

    /// Whose latents the autoencoder in a whole checkpoint makes; nil for a file without a U-Net.
    static func latents(of file: SafetensorsFile) -> ModelFamily.LatentScale? {
        func has(_ prefix: String) -> Bool { file.tensors.keys.contains { $0.hasPrefix(prefix) } }
        guard has(CheckpointTraits.unetPrefix) else { return nil }
        if file.tensors["edm_mean"] != nil { return .playground }
        // Stable Diffusion 2's unCLIP models have a label embedding too.
        let isPooled = has(CheckpointTraits.unetPrefix + "label_emb.") && (has("conditioner.") || !has("cond_stage_model."))
        return ModelFamily.all.first { $0.hasPooledConditioning == isPooled }?.latents
    }

    static func check(channels: Int, against own: Int, _ name: String, _ model: String) throws(WeightsError) {
        guard channels == own else {
            throw WeightsError(
                .unsupportedModel,
                "The autoencoder \(name) makes latents of \(channels) channels, and the model \(model) works on \(own); name one "
                    + "made for this family of models.")
        }
    }

    /// The tensors of a single file by diffusers' names: a file in that naming, or in LDM's with or without
    /// `first_stage_model.`. Of a complete checkpoint, only the autoencoder is looked at.
    ///
    /// - Parameter levels: of the autoencoder, by the configuration that it takes.
    static func component(_ stored: SafetensorsFile, levels: Int) throws(WeightsError) -> StoredComponent {
        let file = try stored.unwrapped(nil).unwrapped("vae")
        let found = try StoredComponent("vae", files: [file], name: file.name, vaeLevels: levels)
        return StoredComponent(
            name: file.name, file: file, label: label, pieces: found.pieces,
            leftovers: latents(of: file) == nil ? found.leftovers : [])
    }

    /// Where in a folder the autoencoder lies: in `vae/` of a whole model's, at the top of one that holds nothing else.
    static func inner(_ folder: FileStore) -> String { folder.exists("vae/config.json") ? "vae/" : "" }

    /// All files of the autoencoder in a folder that count.
    static func files(_ folder: FileStore, _ variant: String?) throws(WeightsError) -> [String] {
        let inner = inner(folder)
        return try ([inner + "config.json"] + weightFiles(folder, inner, variant).map { inner + $0 })
    }

    /// The weight files of an autoencoder's folder, below it.
    static func weightFiles(_ folder: FileStore, _ inner: String, _ variant: String?) throws(WeightsError) -> [String] {
        // A view in which the folder lies where a model has its autoencoder.
        let source = ModelSource(name: folder.name, store: folder, variant: variant, renamed: [:], isPlain: true)
        return try source.weightFiles(component: inner.isEmpty ? "" : "vae").paths.map { String($0.dropFirst(inner.count)) }
    }
}
