public import ContentHash
public import StrictJSON
import Synchronization

/// A model in the folder layout of diffusers, on disk or inside the program. Cheap to copy; copies share what has been opened.
///
/// A file is opened once and stays mapped as long as a copy of the source lives, so what was hashed is what is used.
public struct ModelSource: Sendable {
    /// The model in messages: the folder's path, or the name of the embedded model.
    public let name: String
    private let store: FileStore
    /// LoRA files that are merged into the weights; nil for the model as it is.
    var loras: LoRAComposition?

    /// Configurations, vocabularies and shard indexes may have this many bytes.
    static let maxTextBytes = 16 << 20

    /// The model in the folder at `path`. Its files may be links, as they are in the Hugging Face cache.
    ///
    /// Throws `.notFound` with the path, `.unreadable` and `.unsupportedFormat` when it is a file.
    public static func folder(_ path: String) throws(WeightsError) -> ModelSource {
        try checkFolder(path)
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let store = FileStore(folder: path)
        guard store.exists("model_index.json") else {
            throw WeightsError(
                .notFound,
                "\(path) is not a model in diffusers' layout: it has no model_index.json; name the folder that has one.")
        }
        return ModelSource(name: path, store: store)
    }

    /// A model whose files are part of the program: bytes that live as long as it does, by path below the model's folder.
    public static func embedded(name: String, files: [String: UnsafeRawBufferPointer]) -> ModelSource {
        ModelSource(name: name, store: FileStore(permanent: files.mapValues { FileBytes(permanent: $0) }))
    }

    /// Whether the model has the file `path`, relative to its folder.
    public func exists(_ path: String) -> Bool { isInside(path) && store.exists(path) }

    /// The file `path` read as strict JSON.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` with the place of the fault.
    public func json(_ path: String) throws(WeightsError) -> JSONValue {
        let bytes = try content(path).bytes
        do { return try JSONValue(parsing: bytes, limits: .config) } catch {
            throw WeightsError(error.code == .tooLarge ? .tooLarge : .malformed, "\(location(of: path)): \(error.message)")
        }
    }

    /// The file `path` read as UTF-8, byte for byte.
    ///
    /// Throws `.notFound`, `.unreadable`, `.tooLarge` beyond 16 MiB, and `.malformed` when it is not UTF-8.
    public func text(_ path: String) throws(WeightsError) -> String {
        let bytes = try content(path).bytes
        guard bytes.count <= ModelSource.maxTextBytes else {
            throw WeightsError(
                .tooLarge, "\(location(of: path)) has \(bytes.count) bytes, more than a text file of a model may.")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw WeightsError(.malformed, "\(location(of: path)) is not valid UTF-8; download it again.")
        }
        return text
    }

    /// The SHA-256 over all configuration, tokenizer and weight files that the model uses: equal for a folder and an embedded
    /// model with the same files, and another one for each composition with LoRA files. `ModelIdentity` has the definition.
    /// Reads every weight once; later calls are free.
    public func identity() throws(WeightsError) -> SHA256Digest {
        let base = try store.identity { () throws(WeightsError) in try ModelIdentity.compute(self) }
        return loras.map { ModelIdentity.compute(base, $0) } ?? base
    }

    /// The bytes of the file `path`.
    func content(_ path: String) throws(WeightsError) -> FileBytes {
        guard isInside(path) else {
            throw WeightsError(.badPath, "\(quoted(path)) is not a path inside the model \(name).")
        }
        return try store.content(path, location: location(of: path))
    }

    /// The file `path` in messages.
    func location(of path: String) -> String { "\(name)/\(path)" }

    /// Relative, without "." and "..", so that no name in a configuration leads out of the folder.
    private func isInside(_ path: String) -> Bool {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return !path.utf8.contains(0)
            && parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
    }
}

/// The files of a model, each opened at most once.
private final class FileStore: Sendable {
    private let folder: String?
    private let opened: Mutex<[String: FileBytes]>
    private let knownIdentity = Mutex<SHA256Digest?>(nil)

    init(folder: String) {
        self.folder = folder
        opened = Mutex([:])
    }

    init(permanent files: [String: FileBytes]) {
        folder = nil
        opened = Mutex(files)
    }

    func exists(_ path: String) -> Bool {
        if opened.withLock({ $0[path] != nil }) { return true }
        guard let folder else { return false }
        return fileExists(folder + "/" + path)
    }

    func content(_ path: String, location: String) throws(WeightsError) -> FileBytes {
        if let known = opened.withLock({ $0[path] }) { return known }
        guard let folder else {
            throw WeightsError(.notFound, "\(location) does not exist; the embedded model has no such file.")
        }
        let content = try FileBytes(mapping: folder + "/" + path)
        // Two threads may have opened the file; all go on with the first mapping.
        return opened.withLock { files in
            if let known = files[path] { return known }
            files[path] = content
            return content
        }
    }

    func identity(_ compute: () throws(WeightsError) -> SHA256Digest) throws(WeightsError) -> SHA256Digest {
        if let known = knownIdentity.withLock({ $0 }) { return known }
        let identity = try compute()
        knownIdentity.withLock { $0 = identity }
        return identity
    }
}
