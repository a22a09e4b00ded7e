public import ContentHash
import Sentences
import Synchronization

/// Remembers the SHA-256 of files by their stamps, so that a start does not read gigabytes to know a model.
///
/// A stamp tells a changed file from an unchanged one. `FileStamp` describes this, and the changes that a stamp cannot see. A
/// hash is kept only if the file had been left alone for a while before it was read, and has the same stamp afterwards.
///
/// Identities stay plain SHA-256 of whole files, which users compare with model cards and hubs. A tree of hashes would make
/// one large file faster to hash for the first time, and every identity a number that only this program knows.
public final class DigestMemory: Sendable {
    /// The number of files that this process asked about, and the findings.
    public struct Tally: Sendable, Equatable {
        /// Files that were read, and their bytes.
        public var hashedFiles = 0
        public var hashedBytes = 0
        /// Files whose hash was known, and their bytes.
        public var rememberedFiles = 0
        public var rememberedBytes = 0
        /// Files whose bytes changed after they were hashed, although their stamps did not.
        public var contradicted: [Contradiction] = []
        /// The reason why hashes cannot be kept for later starts; nil without a fault.
        public var fault: String?
    }

    /// A file whose content changed, although its stamp did not.
    public struct Contradiction: Sendable, Equatable {
        public var path: String
        public var remembered: SHA256Digest
        public var found: SHA256Digest
    }

    private struct State {
        /// Records that this process found.
        var own = DigestRecords()
        /// Records from the file, read while it had the stamp `keptStamp`.
        var kept = DigestRecords()
        var keptStamp: FileStamp?
        /// The files that a check has read. It reads each once, also if it opens it again to say which are damaged.
        var reread: [FileStamp: SHA256Digest] = [:]
        var tally = Tally()
    }

    private let file: CacheFile<DigestRecords>?
    private let rereads: Bool
    private let clock: @Sendable () -> Int64
    private let state = Mutex(State())

    /// Smaller files are hashed faster than they are remembered.
    static let smallest: Int64 = 256 << 10
    /// The times of last use in the file are exact to this many nanoseconds, so that a start seldom writes.
    private static let day: Int64 = 86_400_000_000_000

    /// The user's memory, a file in `$PATCHLOOM_HOME/cache`, `$XDG_CACHE_HOME/patchloom` or `~/.cache/patchloom`. Without these
    /// variables, it lasts as long as the process.
    public static let standard = DigestMemory(folder: StandardFolders.cache)

    /// - Parameters:
    ///   - folder: the folder of the file, made when needed; nil for a memory of this process only.
    ///   - rereads: whether to hash files anew, and to correct the memory.
    ///   - clock: the time in nanoseconds since 1970.
    init(folder: String?, rereads: Bool = false, clock: @escaping @Sendable () -> Int64 = FileStamp.now) {
        (file, self.rereads, self.clock) = (folder.map { CacheFile(folder: $0) }, rereads, clock)
    }

    /// A memory that lasts as long as the process.
    public convenience init() { self.init(folder: nil) }

    /// The same memory for a check: it hashes all files anew, corrects the memory, and finds contradictions.
    public func rereading() -> DigestMemory { DigestMemory(folder: file?.folder, rereads: true, clock: clock) }

    /// The same memory as a new process has it: with the records of the file only.
    public func reopened() -> DigestMemory { DigestMemory(folder: file?.folder, clock: clock) }

    public var tally: Tally { state.withLock { $0.tally } }

    /// The hash of a file that was not opened, if it is known.
    func known(_ stamp: FileStamp) -> SHA256Digest? { rereads ? nil : record(stamp)?.digest }

    /// The SHA-256 of a file: remembered, or else computed.
    func digest(of content: FileBytes) -> SHA256Digest {
        guard let stamp = content.stamp, let path = content.path else { return content.hashed() }
        if let digest = state.withLock({ $0.reread[stamp] }) { return digest }
        let known = record(stamp)
        if let known, !rereads {
            state.withLock { state in
                state.tally.rememberedFiles += 1
                state.tally.rememberedBytes += content.bytes.count
            }
            noteUse(known)
            return known.digest
        }
        let start = clock()
        let digest = content.hashed()
        state.withLock { state in
            if rereads { state.reread[stamp] = digest }
            state.tally.hashedFiles += 1
            state.tally.hashedBytes += content.bytes.count
            if let known, known.digest != digest {
                state.tally.contradicted.append(Contradiction(path: path, remembered: known.digest, found: digest))
            }
        }
        let record = DigestRecords.Record(stamp: stamp, digest: digest, used: start)
        if stamp.isSettled(at: start), FileStamp(path: path) == stamp {
            remember(record)
        } else if known != nil {
            forget(stamp.place)
        }
        return digest
    }

    /// The SHA-256 of a safetensors file's tensors, which begin at `start`: remembered, or else computed.
    ///
    /// It is remembered beside the hash of the whole file, and forgotten with it.
    func tensorsDigest(of content: FileBytes, from start: Int) -> SHA256Digest {
        guard let stamp = content.stamp, let path = content.path else { return content.hashed(from: start) }
        if !rereads, let known = record(stamp)?.tensors { return known }
        let digest = content.hashed(from: start)
        // The stamp had settled before the record was made.
        if var record = record(stamp), FileStamp(path: path) == stamp {
            record.tensors = digest
            remember(record)
        }
        return digest
    }

    // MARK: Records

    private func record(_ stamp: FileStamp) -> DigestRecords.Record? {
        state.withLock { state in
            if let own = state.own[stamp.place], own.stamp == stamp { return own }
            guard let file, stamp.size >= Self.smallest else { return nil }
            // Another process may have added records.
            let now = FileStamp(path: file.path)
            if now != state.keptStamp { (state.kept, state.keptStamp) = (file.read(), now) }
            return state.kept[stamp.place].flatMap { $0.stamp == stamp ? $0 : nil }
        }
    }

    private func remember(_ record: DigestRecords.Record) {
        change(keeps: record.stamp.size >= Self.smallest) { $0.put(record) }
    }

    private func forget(_ place: FileStamp.Place) { change(keeps: true) { $0.remove(place) } }

    /// Puts off the day when the record counts as the least recently used.
    private func noteUse(_ record: DigestRecords.Record) {
        let now = clock()
        let (age, overflow) = now.subtractingReportingOverflow(record.used)
        guard record.stamp.size >= Self.smallest, overflow || !(0..<Self.day).contains(age) else { return }
        var record = record
        record.used = now
        remember(record)
    }

    /// Changes this process's records and, if `keeps`, those of the file. A file that cannot be written only costs time.
    private func change(keeps: Bool, _ change: (inout DigestRecords) -> Void) {
        state.withLock { state in
            change(&state.own)
            // After a failed attempt, more would only delay the start.
            guard keeps, let file, state.tally.fault == nil else { return }
            do throws(WeightsError) {
                state.kept = try file.change(change)
                state.keptStamp = FileStamp(path: file.path)
            } catch {
                state.tally.fault = error.description
            }
        }
    }
}

extension DigestMemory: Equatable {
    /// Whether the two are one object.
    public static func == (a: DigestMemory, b: DigestMemory) -> Bool { a === b }
}

extension DigestMemory.Tally {
    /// A line for logs about the memory; empty if no file was asked about.
    public var lines: [String] {
        guard hashedFiles + rememberedFiles > 0 else { return [] }
        let warning = fault.map { "warning: every start hashes all weights, because the hashes cannot be kept: \($0)" }
        return ["files: \(summary)"] + (warning.map { [$0] } ?? [])
    }

    /// `hashed 9 files (61 kB), knew 4 (2133 MB) by their stamps`.
    private var summary: String {
        func size(_ bytes: Int) -> String {
            bytes < 10_000_000 ? "\((bytes + 500) / 1000) kB" : "\((bytes + 500_000) / 1_000_000) MB"
        }
        return "hashed \(hashedFiles) file\(hashedFiles == 1 ? "" : "s") (\(size(hashedBytes))), "
            + "knew \(rememberedFiles) (\(size(rememberedBytes))) by their stamps"
    }
}
