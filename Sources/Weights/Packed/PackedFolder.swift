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

    struct Entry: Equatable {
        var name: String
        var byteCount: Int
        /// Nanoseconds since 1970.
        var lastUse: Int64
    }

    func file(_ key: PackedKey) -> String { "\(path)/\(key.fileName)" }

    /// The files, the longest unused first. Throws `.unreadable`.
    func entries() throws(WeightsError) -> [Entry] {
        var entries: [Entry] = []
        for name in try StoreFiles.names(in: path) where name.hasSuffix(Self.ending) {
            guard let status = linkStatus("\(path)/\(name)"), status.isFile else { continue }
            let (seconds, overflow) = Int64(status.st_atim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
            entries.append(
                Entry(
                    name: name, byteCount: Int(status.st_size),
                    lastUse: overflow ? .max : seconds &+ Int64(status.st_atim.tv_nsec)))
        }
        return entries.sorted { ($0.lastUse, $0.name) < ($1.lastUse, $1.name) }
    }

    /// Notes that a file is used now. It only orders files for removal, so a refusal is no error.
    func touch(_ file: String) {
        let times = [timespec(tv_sec: 0, tv_nsec: Self.presentTime), timespec(tv_sec: 0, tv_nsec: Self.unchangedTime)]
        utimensat(AT_FDCWD, file, times, AT_SYMLINK_NOFOLLOW)
    }

    /// Removes the longest unused files until the others, and `incoming` more bytes, are within the limit. Running workers keep
    /// what they have mapped.
    ///
    /// - Parameter kept: the name of a file that stays; its bytes are not in `incoming`.
    /// - Returns: the removed files.
    @discardableResult
    func makeRoom(_ incoming: Int, limit: Int, keeping kept: String? = nil) throws(WeightsError) -> [Entry] {
        let entries = try entries()
        var total = entries.reduce(incoming) { $0.addingClamped($1.byteCount) }
        var removed: [Entry] = []
        for entry in entries where total > limit && entry.name != kept {
            try StoreFiles.remove("\(path)/\(entry.name)")
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

        /// Puts it in its place.
        func publish(_ target: String) throws(WeightsError) {
            guard rename(path, target) == 0 else { throw StoreFiles.unwritable(target, errno) }
            close(descriptor)
        }

        func discard() {
            unlink(path)
            close(descriptor)
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
        // Since it was opened, the file may have been finished and renamed, or removed.
        var status = stat()
        guard fstat(descriptor, &status) == 0, let there = linkStatus(unfinished),
            there.st_ino == status.st_ino, there.st_dev == status.st_dev
        else {
            close(descriptor)
            return nil
        }
        guard status.isFile, status.st_uid == geteuid(), fchmod(descriptor, 0o600) == 0, ftruncate(descriptor, 0) == 0 else {
            close(descriptor)
            throw StoreFiles.unwritable(unfinished, EPERM)
        }
        return Unfinished(path: unfinished, descriptor: descriptor)
    }

    /// Removes unfinished files that nobody is writing. Returns them.
    func removeLeftBehind() throws(WeightsError) -> [Entry] {
        var removed: [Entry] = []
        for name in try StoreFiles.names(in: path) where name.hasSuffix(Self.ending + Self.unfinished) {
            let full = "\(path)/\(name)"
            let descriptor = open(full, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { continue }
            let size = linkStatus(full).map { Int($0.st_size) } ?? 0
            try StoreFiles.remove(full)
            removed.append(Entry(name: name, byteCount: size, lastUse: 0))
        }
        return removed
    }

    /// Free bytes of the file system; nil if it does not say.
    func freeBytes() -> Int? {
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
