import ContentHash
import Glibc
import StrictJSON

extension ModelStore {
    /// Puts a model into the store under a name. What the store has already is not stored again.
    ///
    /// The files are read once for their hashes, and once more from where they are kept; those that the file system cannot
    /// share are copied. Importing the same model again under another name adds the name, and mends its damaged files.
    ///
    /// - Parameter check: looks at the model before anything is stored; whatever it throws ends the import.
    /// - Throws: `.badOption` for a name that cannot be or that stands for another model, `.unwritable`, `.unreadable` for
    ///   files that change meanwhile, and whatever is wrong with the model.
    public func importModel(
        _ recipe: ModelChoice, name: String, check: (ModelSource) throws -> Void = { _ in }
    ) throws -> StoredModel {
        guard ModelStore.isName(name) else {
            throw WeightsError(
                .badOption,
                "\(quoted(name)) cannot be a model's name: use 1 to 64 letters, digits, dots, hyphens and underscores, the first "
                    + "of them a letter or digit, and nothing that looks like a hash or a file of another format.")
        }
        let assembly = try ModelAssembly(recipe)
        let source = try assembly.source()
        try check(source)
        let (manifest, contents) = try manifest(assembly, source)
        // Under the lock, because others clear folders whose own lock nobody holds.
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
            // Whatever does not open again gets neither a manifest nor a name, and its files are nobody's. If they cannot be
            // deleted now, the next removal does it.
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

    /// Sees to it that a file is in the store: the one that is there already if its content is right, else the new one in its
    /// place. Others of the store may have been removed with their models a moment ago. The lock is held.
    ///
    /// - Parameter placed: the file among those on their way, if it was put there.
    private func keep(
        _ content: FileBytes, _ digest: SHA256Digest, _ placed: FileBytes?, _ session: ImportSession
    ) throws(WeightsError) -> FileBytes {
        // Whatever is wrong with what is there, it is replaced.
        if let there = try? blob(digest), there.bytes.count == content.bytes.count, there.digest() == digest { return there }
        let path = "\(blobs)/\(digest.hex)"
        let new: FileBytes
        if let placed { new = placed } else { new = try session.place(content, digest) }
        guard rename(session.path(digest), path) == 0 else { throw StoreFiles.unwritable(path, errno) }
        return new
    }

    private func checkFree(_ name: String, for identity: SHA256Digest) throws(WeightsError) {
        guard let owner = try readModels().first(where: { $0.names.contains(name) }), owner.identity != identity else { return }
        throw WeightsError(
            .badOption,
            "The name \(name) stands for another model, \(owner.identity.hex.prefix(12)); remove that one first, or choose another "
                + "name.")
    }

    /// The files that a model was put together from, as they are on disk.
    private func manifest(
        _ assembly: ModelAssembly, _ source: ModelSource
    ) throws(WeightsError) -> (StoreManifest, [SHA256Digest: FileBytes]) {
        var entries: [StoreManifest.Entry] = []
        var contents: [SHA256Digest: FileBytes] = [:]
        func add(_ part: StoreManifest.Part, _ path: String, _ content: FileBytes) {
            let digest = content.digest()
            contents[digest] = content
            entries.append(StoreManifest.Entry(part: part, path: path, digest: digest, size: content.bytes.count))
        }
        let shape: StoreManifest.Shape
        switch assembly.model {
        case .file(let content, _):
            shape = .file
            add(.model, StoreManifest.singleFile, content)
        case .folder(let store):
            shape = .folder
            let plain = try ModelSource.folder(store, variant: assembly.variant)
            for path in try ModelIdentity.configurationFiles(of: plain) { add(.model, path, try store.content(path)) }
            for (path, content) in try plain.usedWeights() { add(.model, path, content) }
        }
        if let configuration = assembly.configuration {
            for path in try ModelIdentity.configurationFiles(of: .folder(configuration, variant: nil)) {
                add(.configuration, path, try configuration.content(path))
            }
        }
        var vae: StoreManifest.Shape?
        switch assembly.vae {
        case .file(let content, _):
            vae = .file
            add(.vae, StoreManifest.singleFile, content)
        case .folder(let store):
            vae = .folder
            for path in try SeparateVAE.files(store, assembly.variant) { add(.vae, path, try store.content(path)) }
        case nil: break
        }
        entries.sort { ($0.part.rawValue, $0.path) < ($1.part.rawValue, $1.path) }
        let manifest = StoreManifest(
            identity: try source.identity(), model: shape, vae: vae, prediction: assembly.prediction,
            variant: assembly.variant, files: entries)
        return (manifest, contents)
    }

    /// Deletes what imports left behind that did not come to an end. The lock is held, so nobody is writing a name or manifest.
    func sweepIncoming() throws(WeightsError) {
        for session in try StoreFiles.names(in: incoming) { ImportSession.clear("\(incoming)/\(session)") }
        for folder in [names, manifests] {
            for name in try StoreFiles.names(in: folder) where name.hasSuffix(".tmp") {
                try StoreFiles.remove("\(folder)/\(name)")
            }
        }
    }
}

/// One import's folder for files on their way. Its lock is held while the import lives, so that others can tell when it died.
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

    /// Removes a session's folder unless its import lives.
    static func clear(_ folder: String) {
        let lock = open("\(folder)/\(ImportSession.lock)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        guard lock >= 0 else {
            // It died before it had a lock, and holds nothing.
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
