extension ModelSource {
    /// A published model without weights, for planning renders. Stable Diffusion 2.x is the one that predicts v at 768 px.
    public static func withoutWeights(_ family: ModelFamily) -> ModelSource {
        var files = PublishedConfiguration(CheckpointTraits(published: family), prediction: nil).files()
        for component in family.textEncoders { files[component + "/model.safetensors"] = emptySafetensors }
        for component in ["unet", "vae"] { files[component + "/diffusion_pytorch_model.safetensors"] = emptySafetensors }
        var source = ModelSource(FileStore(name: family.name, files: files.mapValues { FileBytes($0) }))
        source.hasWeights = false
        return source
    }

    /// A header of two bytes, `{}`, after its length.
    private static let emptySafetensors: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)
}
