import ContentHash
import Sentences
import StrictJSON
import Synchronization

/// The files of a model's folder by path, each opened at most once. Given files replace files on disk or add to them.
final class FileStore: Sendable {
    /// A file that is given, and its name in messages.
    struct Given {
        var content: FileBytes
        var location: String
    }

    /// The folder in messages.
    let name: String
    /// The folder on disk; nil if all files are given.
    let folder: String?
    private let given: [String: Given]
    /// The folders below which only given files exist.
    private let hidden: [String]
    private let digests: DigestMemory?
    private let opened = Mutex<[String: FileBytes]>([:])
    private let read = Mutex<[String: SafetensorsFile]>([:])
    private let knownIdentity = Mutex<SHA256Digest?>(nil)

    /// The most bytes of a configuration, a vocabulary or a shard index.
    static let maxTextBytes = 16 << 20

    /// The folder at `path`, with a memory for the hashes of its files. Opens nothing.
    init(folder path: String, digests: DigestMemory? = nil) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        name = path
        (folder, given, hidden, self.digests) = (path, [:], [], digests)
    }

    init(name: String, files: [String: FileBytes]) {
        self.name = name
        (folder, hidden, digests) = (nil, [], nil)
        given = Dictionary(
            uniqueKeysWithValues: files.map { ($0.key, Given(content: $0.value, location: "\(name)/\($0.key)")) })
    }

    /// Another store's files, some replaced by `given`. Of the folders `hiding`, each with a slash at its end, only given files
    /// remain.
    init(_ other: FileStore, given: [String: Given], hiding: [String] = []) {
        (name, folder, hidden, digests) = (other.name, other.folder, other.hidden + hiding, other.digests)
        let kept = other.given.filter { path, _ in !hiding.contains { path.hasPrefix($0) } }
        self.given = kept.merging(given) { _, new in new }
    }

    func exists(_ path: String) -> Bool {
        // A broken link exists: opening it gives an error, while ignoring it would make another model.
        given[path] != nil || place(path).map(entryExists) == true
    }

    /// The bytes of the file `path`.
    func content(_ path: String) throws(WeightsError) -> FileBytes {
        guard FileStore.isInside(path) else {
            throw .badPath("\(quoted(path)) is not a path inside the model \(name).")
        }
        if let given = given[path] { return given.content }
        if let known = opened.withLock({ $0[path] }) { return known }
        guard let place = place(path) else {
            throw .notFound("\(location(of: path)) does not exist; the model \(name) has no such file.")
        }
        let content: FileBytes
        do { content = try FileBytes(mapping: place, digests: digests) } catch {
            guard error.code == .notFound, FileBytes.brokenLink(place) == nil, folder.map(isFolder) == true else { throw error }
            throw .notFound(
                "\(location(of: path)) does not exist: the download of \(name) is incomplete; fetch this file as well.")
        }
        // Two threads may have opened the file; all go on with the first mapping.
        return opened.withLock { files in
            if let known = files[path] { return known }
            files[path] = content
            return content
        }
    }

    /// The safetensors file `path`. Several parts of the program ask for it, and its head is read once.
    func safetensors(_ path: String) throws(WeightsError) -> SafetensorsFile {
        if let known = read.withLock({ $0[path] }) { return known }
        let file = try SafetensorsFile(content: content(path), name: location(of: path))
        read.withLock { $0[path] = file }
        return file
    }

    /// The path of a file on disk; nil if only a given file can be there.
    private func place(_ path: String) -> String? {
        hidden.contains { path.hasPrefix($0) } ? nil : folder.map { $0 + "/" + path }
    }

    /// The file `path` in messages.
    func location(of path: String) -> String { given[path]?.location ?? "\(name)/\(path)" }

    func json(_ path: String) throws(WeightsError) -> JSONValue {
        let content = try content(path)
        // The store keeps the content, and with it the mapping.
        let limits: JSONLimits = path.hasSuffix("scheduler_config.json") ? .schedulerConfig : .config
        do { return try JSONValue(parsing: FileStore.withoutMark(content.bytes), limits: limits) } catch {
            if let refusal = notText(content, path) { throw refusal }
            throw WeightsError(error.code == .tooLarge ? .tooLarge : .malformed, "\(location(of: path)): \(error.message)")
        }
    }

    /// The text of a file, without a byte-order mark and with line feeds instead of CR LF.
    func text(_ path: String) throws(WeightsError) -> String {
        let content = try content(path)
        guard content.bytes.count <= FileStore.maxTextBytes else {
            throw .tooLarge("\(location(of: path)) has \(content.bytes.count) bytes, more than a text file of a model may.")
        }
        if let refusal = notText(content, path) { throw refusal }
        guard let text = String(validating: FileStore.withoutMark(content.bytes), as: UTF8.self) else {
            throw .malformed("\(location(of: path)) is not valid UTF-8; download it again.")
        }
        return text.utf8.contains(UInt8(ascii: "\r")) ? text.replacing("\r\n", with: "\n") : text
    }

    private func notText(_ content: FileBytes, _ path: String) -> WeightsError? {
        guard !content.bytes.isEmpty else {
            return .malformed("\(location(of: path)) is empty; download it again.")
        }
        return ForeignFormat.refusalAsText(content.bytes, location(of: path))
    }

    /// UTF-8 without a byte-order mark.
    private static func withoutMark(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? UnsafeRawBufferPointer(rebasing: bytes[3...]) : bytes
    }

    /// The value of `compute`, computed once.
    func identity(_ compute: () throws(WeightsError) -> SHA256Digest) throws(WeightsError) -> SHA256Digest {
        if let known = knownIdentity.withLock({ $0 }) { return known }
        let identity = try compute()
        knownIdentity.withLock { $0 = identity }
        return identity
    }

    /// Relative, without "." and "..", so that no name in a configuration leads out of the folder.
    static func isInside(_ path: String) -> Bool {
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        return !path.utf8.contains(0)
            && parts.allSatisfy { !$0.isEmpty && !$0.elementsEqual(".".utf8) && !$0.elementsEqual("..".utf8) }
    }
}
