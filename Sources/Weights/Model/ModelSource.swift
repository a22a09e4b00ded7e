public import ContentHash
public import StrictJSON

/// A model as a folder in the layout of diffusers, whatever it is made of: a folder on disk, files inside the program, a
/// checkpoint in a single file, or one of these with another autoencoder. Cheap to copy; copies share what has been opened.
///
/// A file is opened once and stays mapped as long as a copy of the source lives, so what was hashed is what is used.
public struct ModelSource: Sendable {
    /// The model in messages: the path that was given, or the name of the embedded or stored model.
    public private(set) var name: String
    var store: FileStore
    /// The kind of weight files that is preferred, `fp16` for `*.fp16.safetensors`.
    let variant: String?
    /// Components whose weights lie under other names in a single file.
    var renamed: [String: StoredComponent]
    /// Whether this is a folder or an embedded model as it stands.
    var isPlain: Bool
    /// LoRA files that are merged into the weights; nil for the model as it is.
    var loras: LoRAComposition?
    /// What the U-Net is taken to predict, where neither its file nor anybody says so.
    var assumedPrediction: UNetPrediction?
    /// Names in a single file that no part of the model asks for, sorted.
    var leftovers: [String] = []
    /// What the files of the U-Net say of the model. The configuration has it already.
    var marks = ModelMarks()
    /// What these marks changed in the configuration, a sentence each, without a full stop.
    var markNotes: [String] = []
    /// Whether tensors inside of a network that the network does not know are left out instead of refused, and the same of
    /// LoRA layers.
    public private(set) var ignoresUnknownTensors = false
    /// Whether there are weights at all: see `withoutWeights`.
    public internal(set) var hasWeights = true

    /// The model in the folder at `path`. Its files may be links, as they are in the Hugging Face cache.
    ///
    /// Throws `.notFound` with the path, `.unreadable` and `.unsupportedFormat` when it is a file.
    public static func folder(_ path: String) throws(WeightsError) -> ModelSource {
        try ModelFolder.checkIsNoIndex(path)
        try checkFolder(path)
        return try folder(FileStore(folder: path), variant: nil)
    }

    /// The model in a folder of diffusers' layout.
    static func folder(_ store: FileStore, variant: String?) throws(WeightsError) -> ModelSource {
        guard store.exists("model_index.json") else {
            throw ModelFolder.refusal(store)
        }
        let source = ModelSource(name: store.name, store: store, variant: variant, renamed: [:], isPlain: true)
        if let variant { try source.requireVariant(variant) }
        return source
    }

    /// A model whose files are part of the program: bytes that live as long as it does, by path below the model's folder.
    public static func embedded(name: String, files: [String: UnsafeRawBufferPointer]) -> ModelSource {
        ModelSource(
            name: name, store: FileStore(name: name, files: files.mapValues { FileBytes(permanent: $0) }), variant: nil,
            renamed: [:], isPlain: true)
    }

    /// Whether the model has the file `path`, relative to its folder.
    public func exists(_ path: String) -> Bool { FileStore.isInside(path) && store.exists(path) }

    /// The file `path` read as strict JSON, before which a byte-order mark may stand.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` with the place of the fault.
    public func json(_ path: String) throws(WeightsError) -> JSONValue { try store.json(path) }

    /// The file `path` read as UTF-8: without a byte-order mark, and with line feeds where the file has CR LF.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` when it is not UTF-8.
    public func text(_ path: String) throws(WeightsError) -> String { try store.text(path) }

    /// Throws `.malformed` when `model_index.json` does not name a component that pictures are made with, which its identity
    /// would then not cover.
    public func checkComponents() throws(WeightsError) { _ = try ModelIdentity.components(of: self) }

    /// The SHA-256 over all configuration, tokenizer and weight files that the model uses: equal for a folder and an embedded
    /// model with the same files, and another one for each composition with LoRA files. `ModelIdentity` has the definition.
    /// Reads every weight once; later calls are free.
    public func identity() throws(WeightsError) -> SHA256Digest {
        let base = try store.identity { () throws(WeightsError) in try ModelIdentity.compute(self) }
        return loras.map { ModelIdentity.compute(base, $0) } ?? base
    }

    /// The same model under another name.
    func renamed(_ name: String) -> ModelSource {
        var other = self
        other.name = name
        return other
    }

    /// The same model with other files and weights than its own.
    func with(_ store: FileStore, renamed: [String: StoredComponent]) -> ModelSource {
        var other = self
        (other.store, other.renamed, other.isPlain) = (store, renamed, false)
        return other
    }

    /// The same model, whose unknown tensors are left out. Its identity is the same: such tensors never count for a picture.
    public func ignoringUnknownTensors(_ ignores: Bool) -> ModelSource {
        var other = self
        other.ignoresUnknownTensors = ignores
        return other
    }

    /// The same model with another content of a configuration file; the model itself where the content is what it was.
    func replacing(_ path: String, with json: JSONValue) throws(WeightsError) -> ModelSource {
        if try self.json(path) == json { return self }
        let given = [path: FileStore.Given(content: FileBytes(json.canonicalBytes()), location: location(of: path))]
        return with(FileStore(store, given: given), renamed: renamed)
    }

    /// The bytes of the file `path`.
    func content(_ path: String) throws(WeightsError) -> FileBytes { try store.content(path) }

    /// The file `path` in messages: where it really lies, such as in the folder of another autoencoder.
    public func location(of path: String) -> String { store.location(of: path) }
}
