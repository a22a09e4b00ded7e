import Glibc
import Sentences

/// The folder of the packed weights: one file for each key, and unfinished ones.
///
///     HEX.packed       packed weights, named by the hash of their key; the time of last access says when they were last used
///     HEX.packed.tmp   is being written by the process that holds its lock, or was left behind
struct PackedFolder {
    static let ending = ".packed"
    private static let unfinished = ".tmp"
    /// `UTIME_NOW` and `UTIME_OMIT` of utimensat(2), which are macros.
    private static let presentTime = (1 << 30) - 1
    static let unchangedTime = (1 << 30) - 2

    let path: String
    /// Free bytes of the file system with the folder; nil if it does not say.
    var freeBytes: @Sendable (String) -> Int? = PackedFolder.measuredFreeBytes
    /// Removes a file. Throws `.unwritable`.
    var remove: @Sendable (String) throws(WeightsError) -> Void = { path throws(WeightsError) in try StoreFiles.remove(path) }

    struct Entry: Equatable {
        var name: String
        var byteCount: Int
        /// Bytes that the disk does not hold yet, of a file that is being written.
        var missingBytes: Int
        /// The time of the last use, in nanoseconds since 1970.
        var lastUse: Int64
    }

    func file(_ key: PackedKey) -> String { "\(path)/\(key.fileName)" }

    /// The finished files, the longest unused first. Throws `.unreadable`.
    func entries() throws(WeightsError) -> [Entry] { try entries(ending: Self.ending) }

    private func entries(ending: String) throws(WeightsError) -> [Entry] {
        var entries: [Entry] = []
        for name in try StoreFiles.names(in: path) where name.hasSuffix(ending) {
            guard let status = linkStatus("\(path)/\(name)"), status.isFile else { continue }
            let (seconds, overflow) = Int64(status.st_atim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
            entries.append(
                Entry(
                    name: name, byteCount: Int(status.st_size),
                    missingBytes: max(0, Int(status.st_size) - Int(status.st_blocks).multipliedClamped(by: 512)),
                    lastUse: overflow ? .max : seconds &+ Int64(status.st_atim.tv_nsec)))
        }
        return entries.sorted { ($0.lastUse, $0.name) < ($1.lastUse, $1.name) }
    }

    /// Notes that a file is used now. It only orders files for removal, so a refusal is no error.
    func touch(_ file: String) {
        let times = [timespec(tv_sec: 0, tv_nsec: Self.presentTime), timespec(tv_sec: 0, tv_nsec: Self.unchangedTime)]
        utimensat(AT_FDCWD, file, times, AT_SYMLINK_NOFOLLOW)
    }

    // MARK: Room

    /// The reason why a file cannot be made.
    enum Shortage: Equatable {
        /// Files that are in use or under way leave too little within the limit.
        case limit
        /// The disk has only `free` bytes free.
        case disk(free: Int)
    }

    /// Makes room for a file of `incoming` bytes: with all others, unfinished ones too, it is within the limit, and leaves
    /// `reserve` bytes free on the disk. The longest unused files are removed for that. If removing all of them would not be
    /// enough, none is removed.
    ///
    /// A file that a worker has mapped stays: its space would come back only when the worker unmaps it.
    ///
    /// - Parameter file: gets its size if there is room, before other processes may ask for room.
    /// - Returns: nil if there is room now.
    func makeRoom(
        for incoming: Int, limit: Int, reserve: Int, file: Unfinished? = nil
    ) throws(WeightsError) -> Shortage? {
        // Without this lock two processes that make room at the same time would take each other's locks for uses of the files.
        let turn = FileLock.folder(path)
        defer { withExtendedLifetime(turn) {} }
        let (entries, needed) = (try entries(), incoming.addingClamped(reserve))
        let unfinished = try self.entries(ending: Self.ending + Self.unfinished)
        // A file system that does not tell its free bytes takes as much as it can. Other processes will fill their unfinished
        // files.
        let missing = unfinished.reduce(0) { $0.addingClamped($1.missingBytes) }
        let measured = max(0, (freeBytes(path) ?? .max) - missing)
        var (total, free) = ((entries + unfinished).reduce(incoming) { $0.addingClamped($1.byteCount) }, measured)
        var leaving: [(path: String, lock: FileLock)] = []
        for entry in entries where total > limit || free < needed {
            let file = "\(path)/\(entry.name)"
            guard let lock = FileLock.exclusive(file) else { continue }
            leaving.append((file, lock))
            total -= entry.byteCount
            free = free.addingClamped(entry.byteCount)
        }
        guard total <= limit else { return .limit }
        guard free >= needed else { return .disk(free: measured) }
        for file in leaving { try remove(file.path) }
        // A file's space comes back when it is closed.
        if !leaving.isEmpty {
            leaving = []
            let now = max(0, (freeBytes(path) ?? .max) - missing)
            guard now >= needed else { return .disk(free: now) }
        }
        try file?.extend(to: incoming)
        return nil
    }

    /// Removes the first of the given files until the others and unfinished ones are within the limit. Running workers keep
    /// the files that they have mapped. Returns the removed files.
    func trim(_ entries: [Entry], to limit: Int) throws(WeightsError) -> [Entry] {
        let unfinished = try self.entries(ending: Self.ending + Self.unfinished)
        var total = (entries + unfinished).reduce(0) { $0.addingClamped($1.byteCount) }
        var removed: [Entry] = []
        for entry in entries where total > limit {
            try remove("\(path)/\(entry.name)")
            total -= entry.byteCount
            removed.append(entry)
        }
        return removed
    }

    // MARK: Unfinished files

    /// A file that this process is writing.
    struct Unfinished {
        let path: String
        let descriptor: Int32

        /// Puts it in its place. Throws `.unwritable`, also if somebody took it away; then it is still to be discarded.
        func publish(_ target: String) throws(WeightsError) {
            guard isInPlace else { throw .unwritable("\(path) was removed while it was written.") }
            guard rename(path, target) == 0 else { throw StoreFiles.unwritable(target, errno) }
            close(descriptor)
        }

        /// Gives the file the size that it will have at most, so that others count it whole. Throws `.unwritable`.
        func extend(to byteCount: Int) throws(WeightsError) {
            guard ftruncate(descriptor, off_t(byteCount)) == 0 else { throw StoreFiles.unwritable(path, errno) }
        }

        func discard() {
            if isInPlace { unlink(path) }
            close(descriptor)
        }

        /// Whether the path still leads to the open file. While this process holds the file's lock, no other one that keeps
        /// the rules of this folder renames, removes or replaces it.
        fileprivate var isInPlace: Bool {
            var (opened, there) = (stat(), stat())
            return fstat(descriptor, &opened) == 0 && lstat(path, &there) == 0 && opened.st_ino == there.st_ino
                && opened.st_dev == there.st_dev
        }
    }

    /// Begins to write the file of a key. Returns nil while another process does.
    ///
    /// The lock is on the unfinished file itself, so it ends with the process. A file that a dead process left is written anew.
    func begin(_ file: String) throws(WeightsError) -> Unfinished? {
        let unfinished = file + Self.unfinished
        let descriptor = open(unfinished, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw StoreFiles.unwritable(unfinished, errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let reason = errno
            close(descriptor)
            if reason == EWOULDBLOCK || reason == EINTR { return nil }
            throw .unwritable("\(unfinished) cannot be locked: \(FileBytes.text(reason)).")
        }
        let file = Unfinished(path: unfinished, descriptor: descriptor)
        // Since it was opened, the file may have been finished and renamed, or removed.
        guard file.isInPlace else {
            close(descriptor)
            return nil
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.isFile, status.st_uid == geteuid(), fchmod(descriptor, 0o600) == 0,
            ftruncate(descriptor, 0) == 0
        else {
            close(descriptor)
            throw StoreFiles.unwritable(unfinished, EPERM)
        }
        return file
    }

    /// Removes unfinished files that nobody is writing. Returns them.
    ///
    /// - Parameter opened: called between the opening of a file and its locking. For tests.
    @discardableResult
    func removeLeftBehind(_ opened: (String) -> Void = { _ in }) throws(WeightsError) -> [Entry] {
        var removed: [Entry] = []
        for entry in try entries(ending: Self.ending + Self.unfinished) {
            let full = "\(path)/\(entry.name)"
            let descriptor = open(full, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            opened(full)
            // A file that was finished meanwhile has another name now, and a new one under the old name has its own writer.
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, Unfinished(path: full, descriptor: descriptor).isInPlace else {
                continue
            }
            try remove(full)
            removed.append(entry)
        }
        return removed
    }

    private static func measuredFreeBytes(_ path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        let (bytes, overflow) = Int(status.f_bavail).multipliedReportingOverflow(by: Int(status.f_frsize))
        return overflow ? nil : bytes
    }

    private func linkStatus(_ path: String) -> stat? {
        var status = stat()
        return lstat(path, &status) == 0 ? status : nil
    }
}
