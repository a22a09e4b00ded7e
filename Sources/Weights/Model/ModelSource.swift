public import ContentHash
import Sentences
public import StrictJSON

/// A model in the form of a diffusers folder. It may be a folder on disk, files inside the program, a single-file checkpoint,
/// or one of these with another autoencoder. Cheap to copy; copies share opened files.
///
/// A file is opened once and stays mapped while a copy lives, so the hashed bytes are the used bytes.
public struct ModelSource: Sendable {
    /// The model in messages: its path, or the name of the embedded or stored model.
    public private(set) var name: String
    private(set) var store: FileStore
    /// The preferred variant of weight files, `fp16` for `*.fp16.safetensors`.
    let variant: String?
    /// Components with weights under other names in a single file.
    private(set) var renamed: [String: StoredComponent] = [:]
    /// Whether this is an unchanged folder or embedded model.
    private(set) var isPlain = true
    /// LoRA files that are merged into the weights.
    var loras: LoRAComposition?
    /// The assumed prediction of the U-Net; nil if its file or the user tells it.
    var assumedPrediction: UNetPrediction?
    /// Names in a single file that the model does not use, sorted.
    var leftovers: [String] = []
    /// The marks in the U-Net's files. The configuration already agrees with them.
    var marks = ModelMarks()
    /// The changes that these marks made: a sentence each, without a full stop.
    var markNotes: [String] = []
    /// Whether unknown tensors inside a network, and unknown LoRA layers, are left out instead of refused.
    public private(set) var ignoresUnknownTensors = false
    /// Whether its files are inside the program.
    public private(set) var isEmbedded = false
    /// Whether there are weights at all: see `withoutWeights`.
    public internal(set) var hasWeights = true

    init(_ store: FileStore, variant: String? = nil) { (name, self.store, self.variant) = (store.name, store, variant) }

    /// The model in the folder at `path`. Its files may be links, as they are in the Hugging Face cache.
    ///
    /// Throws `.notFound` with the path, `.unreadable`, and `.unsupportedFormat` for a file.
    public static func folder(_ path: String) throws(WeightsError) -> ModelSource {
        try ModelFolder.checkIsNoIndex(path)
        try checkFolder(path)
        return try folder(FileStore(folder: path), variant: nil)
    }

    static func folder(_ store: FileStore, variant: String?) throws(WeightsError) -> ModelSource {
        guard store.exists("model_index.json") else { throw ModelFolder.refusal(store) }
        let source = ModelSource(store, variant: variant)
        if let variant { try source.requireVariant(variant) }
        return source
    }

    /// A model inside the program: bytes that live as long as it does, by path below the model's folder.
    public static func embedded(name: String, files: [String: UnsafeRawBufferPointer]) -> ModelSource {
        var source = ModelSource(FileStore(name: name, files: files.mapValues { FileBytes(permanent: $0) }))
        source.isEmbedded = true
        return source
    }

    /// Whether the model has the file `path`, relative to its folder.
    public func exists(_ path: String) -> Bool { FileStore.isInside(path) && store.exists(path) }

    /// The file `path` read as strict JSON, with or without a byte-order mark.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` with the place of the fault.
    public func json(_ path: String) throws(WeightsError) -> JSONValue { try store.json(path) }

    /// The file `path` read as UTF-8, without a byte-order mark and with line feeds instead of CR LF.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` when it is not UTF-8.
    public func text(_ path: String) throws(WeightsError) -> String { try store.text(path) }

    /// Throws `.malformed` if `model_index.json` does not name a component that a render needs.
    public func checkComponents() throws(WeightsError) { _ = try ModelIdentity.components(of: self) }

    /// The SHA-256 over all configuration, tokenizer, weight and LoRA files that the model uses, as `ModelIdentity` defines it.
    /// A folder and an embedded model with the same files have the same identity. Reads the files whose hash is not known;
    /// later calls are free.
    public func identity() throws(WeightsError) -> SHA256Digest {
        let base = try store.identity { () throws(WeightsError) in try ModelIdentity.compute(self) }
        return loras.map { ModelIdentity.compute(base, $0) } ?? base
    }

    func renamed(_ name: String) -> ModelSource {
        var other = self
        other.name = name
        return other
    }

    func with(_ store: FileStore, renamed: [String: StoredComponent]) -> ModelSource {
        var other = self
        (other.store, other.renamed, other.isPlain) = (store, renamed, false)
        return other
    }

    /// The same model without unknown tensors. Its identity stays the same, as they do not change pictures.
    public func ignoringUnknownTensors(_ ignores: Bool) -> ModelSource {
        var other = self
        other.ignoresUnknownTensors = ignores
        return other
    }

    /// The same model with another content of a configuration file; the unchanged model if the content is the same.
    func replacing(_ path: String, with json: JSONValue) throws(WeightsError) -> ModelSource {
        if try self.json(path) == json { return self }
        let given = [path: FileStore.Given(content: FileBytes(json.canonicalBytes()), location: location(of: path))]
        return with(FileStore(store, given: given), renamed: renamed)
    }

    /// The file `path`, which must hold an object.
    func object(_ path: String) throws(WeightsError) -> JSONValue {
        let json = try json(path)
        guard json.objectValue != nil else {
            throw .malformed("\(location(of: path)) holds \(json.kindName), not an object; download it again.")
        }
        return json
    }

    func content(_ path: String) throws(WeightsError) -> FileBytes { try store.content(path) }

    /// The file `path` in messages: its real place, such as the folder of another autoencoder.
    public func location(of path: String) -> String { store.location(of: path) }
}
