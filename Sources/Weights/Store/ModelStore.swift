public import ContentHash
import Glibc
import Sentences
import StrictJSON

/// A model in the store.
public struct StoredModel: Sendable, Equatable {
    /// Its names, sorted; none after an interrupted removal.
    public var names: [String]
    public var identity: SHA256Digest
    /// Bytes of all its files; nil for a damaged manifest: then the model can only be removed.
    public var byteCount: Int?

    /// Its first name, or its identity.
    public var reference: String { names.first ?? "sha256:\(identity.hex)" }
}

/// The models of this host: files under their SHA-256, manifests that list the files of a model, and names.
///
///     blobs/sha256/HEX     a file; equal files of several models are one
///     manifests/HEX.json   a model by its identity, see `StoreManifest`
///     names/NAME           the identity of the model with this name
///     incoming/            imports under way
///     lock                 one process holds it for a change, several hold it together for reading
///
/// A file is on the disk before anything refers to it, so a crash leaves only unused files. The next removal deletes them.
public struct ModelStore: Sendable {
    /// The store's path.
    public let folder: String
    /// Knows the hashes of its files; without it, every opening hashes them.
    let digests: DigestMemory?

    /// The store in a folder. The first import makes the folder.
    public init(folder: String, digests: DigestMemory? = nil) { (self.folder, self.digests) = (folder, digests) }

    /// The user's store: `$PATCHLOOM_HOME`, `$XDG_DATA_HOME/patchloom`, or `~/.local/share/patchloom`.
    ///
    /// Throws `.badOption` when none of the variables is an absolute path.
    public static func standard(_ digests: DigestMemory? = nil) throws(WeightsError) -> ModelStore {
        guard let folder = StandardFolders.store else {
            throw .badOption("There is no folder for a model store: set PATCHLOOM_HOME to the absolute path of one.")
        }
        return ModelStore(folder: folder, digests: digests)
    }

    var blobs: String { folder + "/blobs/sha256" }
    var manifests: String { folder + "/manifests" }
    var names: String { folder + "/names" }
    var incoming: String { folder + "/incoming" }

    func manifestPath(_ identity: SHA256Digest) -> String { "\(manifests)/\(identity.hex).json" }

    /// Names with damaged files, sorted. They name no model, and can be removed or imported again.
    public func damagedNames() throws(WeightsError) -> [String] {
        try StoreFiles.locked(folder, exclusive: false) { () throws(WeightsError) in try readNames().damaged }
    }

    /// All models, sorted by name.
    public func models() throws(WeightsError) -> [StoredModel] {
        try StoreFiles.locked(folder, exclusive: false) { () throws(WeightsError) in try readModels() }
    }

    /// The model with a name, `sha256:HEX`, or the first digits of an identity (at least eight); nil if there is none.
    ///
    /// Throws `.badOption` for digits of several models, `.malformed` for a name with a damaged file.
    public func find(_ reference: String) throws(WeightsError) -> StoredModel? {
        try StoreFiles.locked(folder, exclusive: false) { () throws(WeightsError) in
            if try readNames().damaged.contains(reference) { throw damaged(name: reference) }
            return try ModelStore.find(reference, among: readModels())
        }
    }

    private static func find(_ reference: String, among models: [StoredModel]) throws(WeightsError) -> StoredModel? {
        if let named = models.first(where: { $0.names.contains(reference) }) { return named }
        let lowered = reference.lowercased()
        let digits = lowered.dropping("sha256:") ?? lowered
        guard (8...64).contains(digits.utf8.count), ModelStore.isHexadecimal(digits) else { return nil }
        let found = models.filter { $0.identity.hex.hasPrefix(digits) }
        guard found.count <= 1 else {
            throw .badOption("\(reference) stands for \(found.count) models of the store; give more digits.")
        }
        return found.first
    }

    /// Opens a model and verifies the content of all its files by their hashes, remembered or computed. `prediction` overrides
    /// the import's choice and the model's files; `vae` is the path of an autoencoder that replaces the model's own. Throws
    /// `.malformed` with the name of a damaged file.
    public func open(
        _ model: StoredModel, prediction: UNetPrediction? = nil, vae: String? = nil, ignoresUnknownTensors: Bool = false
    ) throws(WeightsError) -> ModelSource {
        let part = try vae.map { path throws(WeightsError) in try ModelPart(path: path, digests: digests) }
        return try StoreFiles.locked(folder, exclusive: false) { () throws(WeightsError) in
            let manifest = try readManifest(model.identity)
            var assembly = try verifiedAssembly(manifest, name: model.reference)
            let stored = try source(assembly, manifest, name: model.reference)
            if prediction == nil, part == nil, !ignoresUnknownTensors { return stored }
            // These settings change decisions about the model, so it is assembled again.
            if let prediction { assembly.prediction = prediction }
            if let part { assembly.vae = part }
            assembly.ignoresUnknownTensors = ignoresUnknownTensors
            return try assembly.source().renamed(model.reference)
        }
    }

    /// Hashes all files of a model again, even if their hashes are known. Throws as `open` does.
    public func verify(_ model: StoredModel) throws(WeightsError) {
        _ = try ModelStore(folder: folder, digests: digests?.rereading()).open(model)
    }

    /// The model of a manifest as it was imported. `known` are files of the store that have been read already.
    func open(
        _ manifest: StoreManifest, name: String, known: [SHA256Digest: FileBytes]
    ) throws(WeightsError) -> ModelSource {
        try source(verifiedAssembly(manifest, name: name, known: known), manifest, name: name)
    }

    private func verifiedAssembly(
        _ manifest: StoreManifest, name: String, known: [SHA256Digest: FileBytes] = [:]
    ) throws(WeightsError) -> ModelAssembly {
        var files = known
        for entry in manifest.files where files[entry.digest] == nil { files[entry.digest] = try blob(entry.digest) }
        FileBytes.prepareDigests(of: files.values)
        var contents: [StoreManifest.Part: [String: FileBytes]] = [:]
        for entry in manifest.files {
            guard let content = files[entry.digest], content.bytes.count == entry.size, content.digest() == entry.digest else {
                throw .malformed(
                    "The stored file \(blobs)/\(entry.digest.hex) (\(entry.path) of \(name)) is damaged: its content is not what "
                        + "its name says; remove the model and import it again.")
            }
            contents[entry.part, default: [:]][entry.path] = content
        }
        func part(_ part: StoreManifest.Part, _ shape: StoreManifest.Shape) throws(WeightsError) -> ModelPart {
            let files = contents[part] ?? [:]
            let name = part == .model ? name : "\(name) (\(part.rawValue))"
            guard shape == .file else { return .folder(FileStore(name: name, files: files)) }
            guard let file = files[StoreManifest.singleFile] else {
                throw .malformed("\(manifestPath(manifest.identity)) names no file; import the model again.")
            }
            return .file(file, name: name)
        }
        return ModelAssembly(
            model: try part(.model, manifest.model),
            configuration: contents[.configuration].map { FileStore(name: name, files: $0) },
            vae: try manifest.vae.map { shape throws(WeightsError) in try part(.vae, shape) },
            prediction: manifest.prediction, variant: manifest.variant)
    }

    private func source(
        _ assembly: ModelAssembly, _ manifest: StoreManifest, name: String
    ) throws(WeightsError) -> ModelSource {
        let source = try assembly.source().renamed(name)
        guard try source.identity() == manifest.identity else {
            throw .malformed(
                "The stored model \(name) was imported by a version of this program that read it differently; import it again.")
        }
        return source
    }

    /// A stored file, not verified. Does not follow links.
    func blob(_ digest: SHA256Digest) throws(WeightsError) -> FileBytes {
        try FileBytes(mapping: "\(blobs)/\(digest.hex)", followsLinks: false, digests: digests)
    }

    /// Removes a name, or the model of an identity with all its names. Deletes files that no model uses.
    ///
    /// Returns the model; nil for a name with a damaged file. Throws `.notFound` if there is no such model.
    public func remove(_ reference: String) throws(WeightsError) -> StoredModel? {
        // A removal does not make a store.
        guard isFolder(folder) else { throw notFound(reference, []) }
        return try StoreFiles.locked(folder, exclusive: true) { () throws(WeightsError) in
            if try readNames().damaged.contains(reference) {
                try StoreFiles.remove("\(names)/\(reference)")
                StoreFiles.sync(names)
                try sweep()
                return nil
            }
            let models = try readModels()
            guard let model = try ModelStore.find(reference, among: models) else { throw notFound(reference, models) }
            let gone = model.names.contains(reference) ? [reference] : model.names
            for name in gone { try StoreFiles.remove("\(names)/\(name)") }
            StoreFiles.sync(names)
            let left = try readModels().first { $0.identity == model.identity }?.names ?? []
            if left.isEmpty {
                try StoreFiles.remove(manifestPath(model.identity))
                StoreFiles.sync(manifests)
            }
            try sweep()
            return model
        }
    }

    /// Deletes files that no manifest refers to. The lock is held.
    func sweep() throws(WeightsError) {
        var used: Set<String> = []
        let models = try readModels()
        // The files of a damaged manifest are unknown, so nothing is deleted while there is one.
        guard models.allSatisfy({ $0.byteCount != nil }) else { return }
        for model in models { used.formUnion(try readManifest(model.identity).files.map(\.digest.hex)) }
        for blob in try StoreFiles.names(in: blobs) where !used.contains(blob) { try StoreFiles.remove("\(blobs)/\(blob)") }
        try sweepIncoming()
    }

    /// The error for an unknown reference.
    public func notFound(_ reference: String) -> WeightsError {
        if let broken = FileBytes.brokenLink(reference) { return broken }
        let models = (try? models()) ?? []
        return .notFound(
            "\(quoted(reference)) is no file, no folder and no model of the store \(folder), \(Self.list(models)); check the path or the "
                + "name.")
    }

    private static func list(_ models: [StoredModel]) -> String {
        let names = models.flatMap { $0.names.isEmpty ? [$0.reference] : $0.names }
        return names.isEmpty ? "which is empty" : "which has \(names.joined(separator: ", "))"
    }

    private func notFound(_ reference: String, _ models: [StoredModel]) -> WeightsError {
        WeightsError.notFound("The store \(folder), \(Self.list(models)), has no model \(quoted(reference)); check the name.")
    }

    // MARK: Reading, with the lock held

    func readModels() throws(WeightsError) -> [StoredModel] {
        let namesOf = try readNames().byModel
        var models: [StoredModel] = []
        for file in try StoreFiles.names(in: manifests) {
            guard file.hasSuffix(".json"), let identity = SHA256Digest(hex: String(file.dropLast(5))) else { continue }
            // An unreadable manifest is damaged; other models stay usable.
            let byteCount = (try? readManifest(identity))?.byteCount
            models.append(StoredModel(names: namesOf[identity] ?? [], identity: identity, byteCount: byteCount))
        }
        return models.sorted { ($0.reference, $0.identity.hex) < ($1.reference, $1.identity.hex) }
    }

    /// The names of each model, and names with damaged files.
    private func readNames() throws(WeightsError) -> (byModel: [SHA256Digest: [String]], damaged: [String]) {
        var byModel: [SHA256Digest: [String]] = [:]
        var damaged: [String] = []
        for name in try StoreFiles.names(in: names) where ModelStore.isName(name) {
            let content = try? FileBytes(mapping: "\(names)/\(name)", followsLinks: false)
            if let content, content.bytes.count == 65,
                let identity = SHA256Digest(hex: String(decoding: content.bytes.prefix(64), as: UTF8.self))
            {
                byModel[identity, default: []].append(name)
            } else {
                damaged.append(name)
            }
        }
        return (byModel, damaged)
    }

    func readManifest(_ identity: SHA256Digest) throws(WeightsError) -> StoreManifest {
        let path = manifestPath(identity)
        let content = try FileBytes(mapping: path, followsLinks: false)
        let json: JSONValue
        do { json = try JSONValue(parsing: content.bytes, limits: .config) } catch {
            throw .malformed("\(path): \(error.message)")
        }
        let manifest = try StoreManifest(json, name: path)
        guard manifest.identity == identity else {
            throw .malformed("\(path) is the manifest of another model; remove it and import the model again.")
        }
        return manifest
    }

    // MARK: Names

    /// Whether a word on a command line is an existing path; a broken link counts.
    public static func isPath(_ word: String) -> Bool { !word.isEmpty && entryExists(word) }

    /// `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, but no name that looks like an identity or a file of another format.
    static func isName(_ name: String) -> Bool {
        let isWord = isWord(name, and: ".-_") && (1...64).contains(name.utf8.count)
        guard isWord, let first = name.utf8.first, !".-_".utf8.contains(first) else { return false }
        let isTemporary = name.hasSuffix(".tmp")
        let looksLikeIdentity = name.utf8.count >= 8 && isHexadecimal(name)
        return !isTemporary && !looksLikeIdentity && ForeignFormat.ending(of: name) == nil
    }

    private static func isHexadecimal(_ text: String) -> Bool { text.utf8.allSatisfy("0123456789abcdef".utf8.contains) }
}
