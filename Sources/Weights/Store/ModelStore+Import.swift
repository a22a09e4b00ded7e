import ContentHash
import Glibc
import Sentences
import StrictJSON

extension ModelStore {
    /// Puts a model into the store under a name. Equal files are stored once.
    ///
    /// Reads each file once for its hash, even if the hash is known, and once more in the store. Files that the file system
    /// cannot share are copied. Importing the same model again adds the new name, and repairs damaged files.
    ///
    /// - Parameter check: sees the model before anything is stored; an error ends the import.
    /// - Throws: `.badOption` for an invalid name or the name of another model, `.unwritable`, `.unreadable` for files that
    ///   change meanwhile, and the errors of the model.
    public func importModel(
        _ choice: ModelChoice, name: String, check: (ModelSource) throws -> Void = { _ in }
    ) throws -> StoredModel {
        guard ModelStore.isName(name) else {
            throw WeightsError.badOption(
                "\(quoted(name)) cannot be a model's name: use 1 to 64 letters, digits, dots, hyphens and underscores, the first "
                    + "of them a letter or digit, and nothing that looks like a hash or a file of another format.")
        }
        // The store keeps a hash for good, so it must come from the file's content, not from a stamp.
        var choice = choice
        choice.digests = choice.digests?.rereading()
        let assembly = try ModelAssembly(choice)
        let source = try assembly.source()
        try check(source)
        let (manifest, contents) = try manifest(assembly, source)
        // Under the lock, because other imports clear folders without a locked file.
        let session = try StoreFiles.locked(folder, exclusive: true) { () throws(WeightsError) in try ImportSession(incoming) }
        defer { session.end() }
        var placed: [SHA256Digest: FileBytes] = [:]
        for (digest, content) in contents where !fileExists("\(blobs)/\(digest.hex)") {
            placed[digest] = try session.place(content, digest)
        }
        return try StoreFiles.locked(folder, exclusive: true) { () throws(WeightsError) in
            try checkFree(name, for: manifest.identity)
            for path in [blobs, manifests, names] { try makeFolders(path) }
            var stored: [SHA256Digest: FileBytes] = [:]
            for (digest, content) in contents { stored[digest] = try keep(content, digest, placed[digest], session) }
            StoreFiles.sync(blobs)
            // A model that does not open again gets no manifest and no name. If its files cannot be deleted now, the next
            // removal deletes them.
            do throws(WeightsError) { _ = try open(manifest, name: name, known: stored) } catch {
                try? sweep()
                throw error
            }
            try StoreFiles.write(manifest.json().canonicalBytes(), to: manifestPath(manifest.identity))
            try StoreFiles.write(Array("\(manifest.identity.hex)\n".utf8), to: "\(names)/\(name)")
            try sweepIncoming()
            let model = try readModels().first { $0.identity == manifest.identity }
            return model ?? StoredModel(names: [name], identity: manifest.identity, byteCount: manifest.byteCount)
        }
    }

    /// Puts a file into the store unless it is there with the right content. `placed` is the copy in the import's own folder,
    /// if there is one. The lock is held.
    private func keep(
        _ content: FileBytes, _ digest: SHA256Digest, _ placed: FileBytes?, _ session: ImportSession
    ) throws(WeightsError) -> FileBytes {
        // A damaged file is replaced, even if nothing shows the damage but its bytes.
        let unread = ModelStore(folder: folder, digests: digests?.rereading())
        if let there = try? unread.blob(digest), there.bytes.count == content.bytes.count, there.digest() == digest {
            return there
        }
        let path = "\(blobs)/\(digest.hex)"
        let new: FileBytes
        if let placed { new = placed } else { new = try session.place(content, digest) }
        guard rename(session.path(digest), path) == 0 else { throw StoreFiles.unwritable(path, errno) }
        return new
    }

    private func checkFree(_ name: String, for identity: SHA256Digest) throws(WeightsError) {
        guard let owner = try readModels().first(where: { $0.names.contains(name) }), owner.identity != identity else { return }
        throw .badOption(
            "The name \(name) stands for another model, \(owner.identity.hex.prefix(12)); remove that one first, or choose another "
                + "name.")
    }

    /// The manifest of a model, and its files as they are on disk.
    private func manifest(
        _ assembly: ModelAssembly, _ source: ModelSource
    ) throws(WeightsError) -> (StoreManifest, [SHA256Digest: FileBytes]) {
        // This hashes large files at the same time.
        let identity = try source.identity()
        var entries: [StoreManifest.Entry] = []
        var contents: [SHA256Digest: FileBytes] = [:]
        func add(_ part: StoreManifest.Part, _ path: String, _ content: FileBytes) {
            let digest = content.digest()
            contents[digest] = content
            entries.append(StoreManifest.Entry(part: part, path: path, digest: digest, size: content.bytes.count))
        }
        func add(
            _ part: StoreManifest.Part, _ files: ModelPart, _ paths: (FileStore) throws(WeightsError) -> [String]
        ) throws(WeightsError) -> StoreManifest.Shape {
            switch files {
            case .file(let content, _):
                add(part, StoreManifest.singleFile, content)
                return .file
            case .folder(let store):
                for path in try paths(store) { add(part, path, try store.content(path)) }
                return .folder
            }
        }
        let model = try add(.model, assembly.model) { store throws(WeightsError) in
            let plain = try ModelSource.folder(store, variant: assembly.variant)
            return try ModelIdentity.configurationFiles(of: plain) + plain.usedWeights().keys
        }
        if let configuration = assembly.configuration {
            _ = try add(.configuration, .folder(configuration)) { store throws(WeightsError) in
                try ModelIdentity.configurationFiles(of: .folder(store, variant: nil))
            }
        }
        let vae = try assembly.vae.map { vae throws(WeightsError) in
            try add(.vae, vae) { store throws(WeightsError) in
                try [SeparateVAE.inner(store) + "config.json"] + SeparateVAE.weightFiles(store, assembly.variant)
            }
        }
        entries.sort { ($0.part.rawValue, $0.path) < ($1.part.rawValue, $1.path) }
        let manifest = StoreManifest(
            identity: identity, model: model, vae: vae, prediction: assembly.prediction,
            variant: assembly.variant, files: entries)
        return (manifest, contents)
    }

    /// Deletes the remains of interrupted imports. The lock is held, so nobody is writing a name or manifest.
    func sweepIncoming() throws(WeightsError) {
        for session in try StoreFiles.names(in: incoming) { ImportSession.clear("\(incoming)/\(session)") }
        for folder in [names, manifests] {
            for name in try StoreFiles.names(in: folder) where name.hasSuffix(".tmp") {
                try StoreFiles.remove("\(folder)/\(name)")
            }
        }
    }
}

/// The temporary folder of one import. Its lock is held while the import runs, so others see when it died.
private struct ImportSession {
    private let folder: String
    private let descriptor: Int32
    private static let lock = "lock"

    init(_ incoming: String) throws(WeightsError) {
        try makeFolders(incoming)
        var generator = SystemRandomNumberGenerator()
        folder = "\(incoming)/\(getpid())-\(String(generator.next(), radix: 36))"
        guard mkdir(folder, 0o755) == 0 else { throw StoreFiles.unwritable(folder, errno) }
        let path = "\(folder)/\(ImportSession.lock)"
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            if descriptor >= 0 { close(descriptor) }
            ImportSession.remove(folder)
            throw StoreFiles.unwritable(path, reason)
        }
    }

    func path(_ digest: SHA256Digest) -> String { "\(folder)/\(digest.hex)" }

    func place(_ content: FileBytes, _ digest: SHA256Digest) throws(WeightsError) -> FileBytes {
        try StoreFiles.place(content, digest, at: path(digest))
    }

    func end() {
        ImportSession.remove(folder)
        close(descriptor)
    }

    /// Removes a session's folder unless its import still runs.
    static func clear(_ folder: String) {
        let lock = open("\(folder)/\(ImportSession.lock)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard lock >= 0 else {
            // The import died before it made its lock, so the folder is empty.
            rmdir(folder)
            return
        }
        if flock(lock, LOCK_EX | LOCK_NB) == 0 { remove(folder) }
        close(lock)
    }

    private static func remove(_ folder: String) {
        for name in (try? StoreFiles.names(in: folder)) ?? [] { unlink("\(folder)/\(name)") }
        rmdir(folder)
    }
}
