import Sentences
import StrictJSON

/// The parts and settings that make a model.
public struct ModelChoice: Sendable, Equatable {
    /// A folder in diffusers' layout, or a single-file checkpoint.
    public var path: String
    /// A folder in diffusers' layout that gives a single file its configuration and tokenizer files; nil for those of the
    /// published model of its family. Weights in that folder are ignored.
    public var configuration: String?
    /// An autoencoder instead of the model's own: a folder with a `config.json`, a model's folder with one in `vae`, or a
    /// single file in diffusers' or LDM's naming.
    public var vae: String?
    /// The prediction type of the U-Net; overrides the model's files.
    public var prediction: UNetPrediction?
    /// The preferred variant of weight files in a folder, such as `fp16`.
    public var variant: String?
    /// Whether unknown tensors inside a network, and unknown LoRA layers, are left out instead of refused.
    public var ignoresUnknownTensors = false
    /// The memory for the hashes of its files; nil to hash them all.
    public var digests: DigestMemory?

    /// The model at `path`, unchanged.
    public init(path: String) { self.path = path }
}

/// A file or folder that a user named.
enum ModelPart: Sendable {
    case file(FileBytes, name: String)
    case folder(FileStore)

    init(path: String, digests: DigestMemory?) throws(WeightsError) {
        try ModelFolder.checkIsNoIndex(path)
        if isFolder(path) {
            self = .folder(FileStore(folder: path, digests: digests))
        } else {
            let content = try FileBytes(mapping: path, digests: digests)
            if let refusal = ForeignFormat.refusal(content, named: path) { throw refusal }
            self = .file(content, name: path)
        }
    }
}

/// A `ModelChoice` with its files, found on disk or in the store.
struct ModelAssembly: Sendable {
    var model: ModelPart
    var configuration: FileStore?
    var vae: ModelPart?
    var prediction: UNetPrediction?
    var variant: String?
    var ignoresUnknownTensors = false
}

extension ModelAssembly {
    init(_ choice: ModelChoice) throws(WeightsError) {
        let digests = choice.digests
        model = try ModelPart(path: choice.path, digests: digests)
        if let folder = choice.configuration {
            try ModelFolder.checkIsNoIndex(folder)
            try ModelFolder.checkMayConfigure(folder)
            configuration = FileStore(folder: folder, digests: digests)
        }
        vae = try choice.vae.map { path throws(WeightsError) in try ModelPart(path: path, digests: digests) }
        (prediction, variant) = (choice.prediction, choice.variant)
        ignoresUnknownTensors = choice.ignoresUnknownTensors
    }

    /// Assembles the model: opens and checks all heads, reads no weight.
    func source() throws(WeightsError) -> ModelSource {
        let base: ModelSource
        switch model {
        case .folder(let store):
            guard configuration == nil else {
                throw .badOption("\(store.name) is a folder with its own configuration; leave \(.modelConfig) out.")
            }
            let folder = try ModelSource.folder(store, variant: variant)
            // Unsupported pipelines are refused by name before other files are opened.
            try folder.checkComponents()
            base = try folder.marked(folder.unetMarks(), prediction: prediction)
        case .file(let content, let name):
            guard variant == nil else {
                throw .badOption("\(name) is a single file, which has no variants; leave \(.variant) out.")
            }
            let file = try SafetensorsFile(content: content, name: name)
            base = try .checkpoint(file.unwrapped(nil), configuration, prediction, needsVAE: vae == nil)
        }
        return try base.adjusted(vae: vae, prediction: prediction).ignoringUnknownTensors(ignoresUnknownTensors)
    }
}

extension ModelSource {
    /// A model from its files. Weights stay where they are and are read when networks are built.
    ///
    /// Throws the errors of the files, and `.unsupportedModel` with an unsupported family.
    public static func open(_ choice: ModelChoice) throws(WeightsError) -> ModelSource {
        try ModelAssembly(choice).source()
    }

    /// This model with another autoencoder or another prediction of the U-Net.
    public func adjusted(
        vae path: String?, prediction: UNetPrediction?, digests: DigestMemory? = nil
    ) throws(WeightsError) -> ModelSource {
        let part = try path.map { path throws(WeightsError) in try ModelPart(path: path, digests: digests) }
        return try adjusted(vae: part, prediction: prediction)
    }

    func adjusted(vae: ModelPart?, prediction: UNetPrediction?) throws(WeightsError) -> ModelSource {
        var source = self
        if let vae { source = try source.replacingVAE(vae) }
        if let prediction { source = try source.predicting(prediction) }
        return source
    }

    /// A single-file checkpoint as a folder. If `needsVAE`, it must hold an autoencoder.
    static func checkpoint(
        _ file: SafetensorsFile, _ configuration: FileStore?, _ prediction: UNetPrediction?, needsVAE: Bool
    ) throws(WeightsError) -> ModelSource {
        let traits = try CheckpointTraits(file)
        let files: FileStore
        var assumed: UNetPrediction?
        var markNotes: [String] = []
        if let configuration {
            files = try takenConfiguration(configuration, for: file.name)
            try traits.check(against: files, file.name)
        } else {
            let published = PublishedConfiguration(traits, prediction: prediction)
            try published.check(file)
            if published.isPredictionAssumed { assumed = published.prediction }
            markNotes = published.markNotes
            let contents = published.files(of: file)
            files = FileStore(name: file.name, files: contents.mapValues { FileBytes($0) })
        }
        let checkpoint = try Checkpoint(file, traits, configuration: files)
        let renamed = checkpoint.components
        var source = ModelSource(files).with(files, renamed: renamed)
        source.assumedPrediction = assumed
        // The number of training steps is a leftover, unless it told the prediction of the U-Net.
        let tellsPrediction = configuration == nil && traits.marks.likelyPrediction != nil
        source.leftovers = checkpoint.leftovers.filter { !tellsPrediction || $0 != "global_step" }.sorted()
        // A published configuration already agrees with the marks.
        (source.marks, source.markNotes) = (traits.marks, markNotes)
        if configuration != nil { source = try source.marked(traits.marks, prediction: prediction) }
        let components = try ModelIdentity.components(of: source)
        for component in ModelIdentity.weightComponents where components.contains(component) && renamed[component] == nil {
            if component == "vae" && !needsVAE { continue }
            throw .missingTensor(
                "\(file.name) holds no \(component), which its configuration names; use a complete checkpoint"
                    + (component == "vae" ? ", or name an autoencoder by \(.vae)." : "."))
        }
        for component in renamed.keys.sorted() where !components.contains(component) {
            throw .unusedTensors(
                "\(file.name) holds a \(component), but its configuration, which is of another family, names none; name another by \(.modelConfig)."
            )
        }
        return source
    }

    /// Configuration and tokenizer files of a folder, for a checkpoint called `name`.
    private static func takenConfiguration(_ folder: FileStore, for name: String) throws(WeightsError) -> FileStore {
        let source = try ModelSource.folder(folder, variant: nil)
        var given: [String: FileStore.Given] = [:]
        for path in try ModelIdentity.configurationFiles(of: source) {
            given[path] = FileStore.Given(content: try folder.content(path), location: folder.location(of: path))
        }
        return FileStore(FileStore(name: name, files: [:]), given: given)
    }

    /// This model with another prediction type in the scheduler's configuration.
    private func predicting(_ prediction: UNetPrediction) throws(WeightsError) -> ModelSource {
        let path = "scheduler/scheduler_config.json"
        let configuration = try object(path)
        var said = self
        said.assumedPrediction = nil
        if ModelMarks.prediction(configuration) == prediction { return said }
        return try said.replacing(
            path, with: configuration.setting(["prediction_type": .string(prediction.rawValue)]))
    }
}
