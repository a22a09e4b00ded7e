import Sentences
import StrictJSON

extension ModelSource {
    /// This model with the autoencoder `part`.
    ///
    /// A folder brings its own configuration; the scale of latents (`scaling_factor`, `latents_mean`, `latents_std`) comes from
    /// the model if the folder has none. A single file uses the configuration of the model's own autoencoder.
    ///
    /// Throws `.unsupportedModel` for another number of latent channels, and for a checkpoint with another scale of latents.
    func replacingVAE(_ part: ModelPart) throws(WeightsError) -> ModelSource {
        let ownFile = "vae/config.json"
        let own = try json(ownFile)
        guard let channels = (own["latent_channels"] ?? 4).intValue else {
            throw .malformed("\(location(of: ownFile)): latent_channels is not a whole number.")
        }
        switch part {
        case .folder(let folder): return try replacingVAE(folder, own: own, channels: channels)
        case .file(let content, let name):
            let component = try SeparateVAE.component(
                SafetensorsFile(content: content, name: name), levels: Checkpoint.vaeLevels(own))
            let file = component.files[0]
            let input = component.pieces["decoder.conv_in.weight"]?.shape ?? []
            guard input.count == 4 else {
                throw .unsupportedModel(
                    "\(name) is not an autoencoder of Stable Diffusion: it has no decoder.conv_in; name a VAE file or folder.")
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
        let file = inner + "config.json"
        guard folder.exists(file) else {
            throw .notFound(
                "\(folder.name) is not the folder of an autoencoder: it has no config.json; name a VAE file or folder.")
        }
        var configuration = try folder.json(file)
        guard configuration.objectValue != nil, let found = (configuration["latent_channels"] ?? 4).intValue else {
            throw .malformed(
                "\(folder.location(of: file)) is not the configuration of an autoencoder; download it again.")
        }
        try SeparateVAE.check(channels: found, against: channels, folder.name, name)
        if configuration["scaling_factor"] == nil {
            for key in ["scaling_factor", "latents_mean", "latents_std"] where configuration[key] == nil {
                guard let value = own[key] else { continue }
                configuration = configuration.setting([key: value])
            }
        }
        let content = FileBytes(configuration.canonicalBytes())
        var given = ["vae/config.json": FileStore.Given(content: content, location: folder.location(of: file))]
        for path in try SeparateVAE.weightFiles(folder, variant) {
            given["vae/" + path.dropFirst(inner.count)] = FileStore.Given(
                content: try folder.content(path), location: folder.location(of: path))
        }
        return with(FileStore(store, given: given, hiding: ["vae/"]), renamed: renamed.filter { $0.key != "vae" })
    }
}

extension ModelSource {
    /// Refuses the autoencoder of a checkpoint with another scale of latents.
    private func checkFamily(ofCheckpoint file: SafetensorsFile, _ own: JSONValue) throws(WeightsError) {
        guard let theirs = SeparateVAE.latents(of: file) else { return }
        let hasStatistics = own["latents_mean"].map { !$0.isNull } ?? false
        let ours: ModelFamily.LatentScale = try hasStatistics ? .playground : family().latents
        guard theirs == ours else {
            throw .unsupportedModel(
                "The autoencoder of \(file.name), a checkpoint of \(theirs.title), does not fit \(name), a model of \(ours.title): "
                    + "their latents have different scales; name an autoencoder made for this family of models.")
        }
    }
}

/// An autoencoder outside of a model.
enum SeparateVAE {
    /// Stands for a single file in a model's identity.
    static let label = "vae"

    /// The scale of latents of a whole checkpoint; nil for a file without a U-Net.
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
            throw .unsupportedModel(
                "The autoencoder \(name) makes latents of \(channels) channels, but the model \(model) needs \(own); name an "
                    + "autoencoder made for this family of models.")
        }
    }

    /// The autoencoder's tensors of a single file, by diffusers' names. The file may use diffusers' names, or LDM's with or
    /// without `first_stage_model.`, and may be a complete checkpoint.
    static func component(_ stored: SafetensorsFile, levels: Int) throws(WeightsError) -> StoredComponent {
        let file = try stored.unwrapped(nil).unwrapped("vae")
        let found = try StoredComponent("vae", files: [file], name: file.name, vaeLevels: levels)
        return StoredComponent(
            name: file.name, file: file, label: label, pieces: found.pieces,
            leftovers: latents(of: file) == nil ? found.leftovers : [])
    }

    /// The place of the autoencoder in a folder: `vae/` in a whole model, else the top.
    static func inner(_ folder: FileStore) -> String { folder.exists("vae/config.json") ? "vae/" : "" }

    /// The weight files of the autoencoder in a folder.
    static func weightFiles(_ folder: FileStore, _ variant: String?) throws(WeightsError) -> [String] {
        try ModelSource(folder, variant: variant).weightFiles(component: inner(folder).isEmpty ? "" : "vae").paths
    }
}
