import CSystem
import Glibc
import Sentences
import Synchronization
public import TensorCore

/// The packed weights of a host: files that all its workers map, so that weights are in memory once.
///
/// A file is made while the first worker builds the network. A failure of this, such as a full disk or a folder that cannot
/// be written, never stops a render: the worker then keeps the weights in its own memory, and says so in a line.
public final class PackedWeights: Sendable {
    /// The place of the files.
    public struct Setting: Sendable, Equatable {
        public var folder: String
        /// The most bytes of all files.
        public var limit: Int

        public init(folder: String, limit: Int) { (self.folder, self.limit) = (folder, limit) }
    }

    /// The user's folder for packed weights; nil if the user has no folder for caches.
    public static var standardFolder: String? { StandardFolders.cache.map { $0 + "/packed" } }

    /// The beginning of each line for the user.
    public static let notePrefix = "packed weights: "
    /// Networks with less than this are built in memory: there is little to share.
    public static let smallestNetwork = 8 << 20
    /// The bytes that stay free on the disk.
    static let reserve = 1 << 30
    /// The time to wait for a process that makes the same file; then the network is built in memory.
    private static let patience = Duration.seconds(300)

    private let folder: PackedFolder
    private let limit: Int
    private let threads: Int
    private let smallest: Int
    private let note: @Sendable (String) -> Void
    /// Checked files by path. They are not checked again while their stamps stay.
    private let known = Mutex<[String: PackedStamp]>([:])
    private let told = Mutex<Set<String>>([])

    /// - Parameters:
    ///   - threads: the number of threads that check a file.
    ///   - smallest: bytes of the smallest network that is kept.
    ///   - note: gets a line for the user, without a full stop.
    public convenience init(
        _ setting: Setting, threads: Int, smallest: Int = PackedWeights.smallestNetwork,
        note: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.init(PackedFolder(path: setting.folder), limit: setting.limit, threads: threads, smallest: smallest, note: note)
    }

    init(
        _ folder: PackedFolder, limit: Int, threads: Int, smallest: Int, note: @escaping @Sendable (String) -> Void
    ) {
        (self.folder, self.limit, self.threads, self.smallest, self.note) = (folder, limit, threads, smallest, note)
    }

    /// Builds a network from packed weights, which are made first if there are none.
    ///
    /// - Parameters:
    ///   - weights: the network's weights, unread. It may be called several times.
    ///   - waiting: called again and again while another process makes the file.
    ///   - build: builds the network. It may be called several times; only its last network computes.
    ///   - hasChanged: whether the model's files differ from the files of the key. Then no file is made of them.
    /// - Returns: the network, and whether its weights are in a mapped file.
    /// - Throws: the errors of `weights` and `build`.
    public func network<Network>(
        _ key: PackedKey, of type: ElementType, weights: () throws -> WeightScope, waiting: () -> Void = {},
        hasChanged: () throws -> Bool = { false }, build: (WeightScope) throws -> Network
    ) throws -> (network: Network, isMapped: Bool) {
        let scope = try weights()
        if scope.hasBytes(smallest, of: type) {
            // Takes one more look at names and shapes, but reads no weights.
            func fileBytes() throws -> Int {
                let measure = PackedMeasure()
                _ = try build(try weights().kept(by: .measured(measure)))
                return measure.fileBytes(key.text)
            }
            // A file that lacks a tensor is made anew, once.
            for _ in 0..<2 {
                let file = try reader(key, fileBytes, waiting) { writer throws in
                    _ = try build(try weights().kept(by: .written(writer)))
                    // The weights were read from the files just now, and the key was made when they were opened.
                    guard try !hasChanged() else { throw PackedWriter.SourceChanged() }
                }
                guard let file else { break }
                do { return (try build(try weights().kept(by: .mapped(file))), true) } catch {
                    guard file.hasLacked else { throw error }
                    guard replaces(file.path) else { break }
                }
            }
        }
        return (try build(scope), false)
    }

    /// The file of a key, made if there is none; nil if that is not possible.
    private func reader(
        _ key: PackedKey, _ fileBytes: () throws -> Int, _ waiting: () -> Void, _ record: (PackedWriter) throws -> Void
    ) throws -> PackedReader? {
        let (path, start) = (folder.file(key), ContinuousClock.now)
        do throws(WeightsError) { try checkOwnFolder(folder.path) } catch { return refuse(error) }
        let hindrance = removeLeftBehind()
        var written = 0
        var size: Int?
        while true {
            do throws(WeightsError) {
                if let file = try existing(path, key) { return file }
            } catch { return refuse(error) }
            if let hindrance { return refuse(hindrance) }
            guard written < 2 else { return refuse("\(path) is not what was written to it") }
            let bytes = try size ?? fileBytes()
            size = bytes
            let unfinished: PackedFolder.Unfinished?
            do throws(WeightsError) { unfinished = try begin(path, bytes) } catch { return refuse(error) }
            if let unfinished {
                if let failure = try write(unfinished, key, path, record) { return refuse(failure) }
                written += 1
                continue
            }
            guard start.duration(to: .now) < Self.patience else {
                return refuse("another process does not finish \(path)")
            }
            waiting()
            usleep(20_000)
        }
    }

    /// Removes the files that dead workers left behind; the next start may need none of them. Returns the error if some of them
    /// stay: then files are used, but none is made.
    private func removeLeftBehind() -> WeightsError? {
        guard isFolder(folder.path) else { return nil }
        do throws(WeightsError) { try folder.removeLeftBehind() } catch { return error }
        return nil
    }

    /// The file at `path`; nil if there is none. A file that cannot be trusted is removed. Throws `.unwritable` if that fails.
    private func existing(_ path: String, _ key: PackedKey) throws(WeightsError) -> PackedReader? {
        do throws(WeightsError) {
            let file = try PackedReader(path: path, key: key.text, threads: threads) { stamp in
                known.withLock { $0[path] == stamp }
            }
            known.withLock { $0[path] = file.stamp }
            folder.touch(path)
            return file
        } catch {
            if error.code == .notFound { return nil }
            // A regular file that cannot be opened or mapped may be a good one: this process lacks descriptors or memory.
            var status = stat()
            if error.code == .unreadable, lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { throw error }
            try discard(path, PackedWeights.words(error))
            return nil
        }
    }

    /// Removes a file that has the right key, but lacks a tensor of the network. Returns false if it cannot be removed.
    private func replaces(_ path: String) -> Bool {
        do throws(WeightsError) {
            try discard(path, "the packed weights \(path) do not fit the network")
            return true
        } catch {
            return refuse(error) != nil
        }
    }

    /// Begins the file if there is room for it. Returns nil while another process writes it, or has just finished it.
    private func begin(_ path: String, _ bytes: Int) throws(WeightsError) -> PackedFolder.Unfinished? {
        guard bytes <= limit else {
            throw .unwritable("they would take \(bytes) bytes, more than the limit of \(limit) for packed weights.")
        }
        try makeFolders(folder.path)
        guard let unfinished = try folder.begin(path) else { return nil }
        do throws(WeightsError) {
            if entryExists(path) {
                unfinished.discard()
                return nil
            }
            switch try folder.makeRoom(for: bytes, limit: limit, reserve: Self.reserve, file: unfinished) {
            case nil: return unfinished
            case .limit:
                throw .unwritable(
                    "they would take \(bytes) bytes, and files that are in use leave less of the limit of \(limit) for packed "
                        + "weights.")
            case .disk(let free):
                throw .unwritable(
                    "the disk of \(folder.path) has \(free) bytes free, and packed weights of \(bytes) bytes must leave "
                        + "\(Self.reserve); free some space, or turn them off.")
            }
        } catch {
            unfinished.discard()
            throw error
        }
    }

    /// Writes the file. Returns the disk's refusal; throws errors of the weights.
    private func write(
        _ unfinished: PackedFolder.Unfinished, _ key: PackedKey, _ path: String, _ record: (PackedWriter) throws -> Void
    ) throws -> WeightsError? {
        // Large buffers have come and gone.
        defer { csystem_release_freed_memory() }
        let writer = PackedWriter(unfinished.descriptor, path: path)
        do { try record(writer) } catch is PackedWriter.SourceChanged {
            unfinished.discard()
            return .unwritable("the model's files changed after they were opened.")
        } catch {
            unfinished.discard()
            guard let failure = writer.failure else { throw error }
            return failure
        }
        do throws(WeightsError) {
            try writer.finish(key.text)
            try unfinished.publish(path)
        } catch {
            unfinished.discard()
            return error
        }
        StoreFiles.sync(folder.path)
        return nil
    }

    private func discard(_ path: String, _ reason: String) throws(WeightsError) {
        try StoreFiles.remove(path)
        known.withLock { $0[path] = nil }
        tell("\(reason); they are made anew")
    }

    private func refuse(_ error: WeightsError) -> PackedReader? { refuse(PackedWeights.words(error)) }

    private func refuse(_ reason: String) -> PackedReader? {
        tell("a network is kept in each worker's own memory, because \(reason)")
        return nil
    }

    /// Says a line once.
    private func tell(_ line: String) {
        if told.withLock({ $0.insert(line).inserted }) { note(Self.notePrefix + line) }
    }

    private static func words(_ error: WeightsError) -> String {
        let words = error.description
        return words.hasSuffix(".") ? String(words.dropLast()) : words
    }
}

extension Int {
    /// The product of two sizes, at most the largest number there is.
    func multipliedClamped(by other: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? .max : product
    }
}
