import ContentHash
import Glibc

/// What identifies one state of a file on this host.
struct FileStamp: Equatable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    /// Nanoseconds since 1970 of the last change of content, and of content or attributes.
    let modified: Int64
    let changed: Int64

    init(_ status: stat) {
        func nanoseconds(_ time: timespec) -> Int64 {
            Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
        }
        device = UInt64(truncatingIfNeeded: status.st_dev)
        inode = UInt64(truncatingIfNeeded: status.st_ino)
        size = Int64(status.st_size)
        modified = nanoseconds(status.st_mtim)
        changed = nanoseconds(status.st_ctim)
    }
}

/// Hashes of large files from earlier runs, one small file each in `$XDG_CACHE_HOME/patchloom/sha256` (or below `~/.cache`).
///
/// An entry holds for one state of a file: device, inode, size, times of change. It is believed only when it belongs to this
/// user and nobody else can write it. A file that changed within the last seconds is not entered, because a second change
/// within one tick of the file system's clock would not show. Failing to read or write the cache costs time and nothing else.
enum DigestCache {
    /// Smaller files are hashed faster than looked up.
    static let smallestSize = 16 << 20
    /// A clock of a file system ticks at least this often.
    private static let settledAfter: Int64 = 2_000_000_000

    /// The hash of the file with this stamp, by `compute` where it is not known.
    static func digest(of stamp: FileStamp?, path: String?, _ compute: () -> SHA256Digest) -> SHA256Digest {
        guard let stamp, let path, stamp.size >= smallestSize, let folder else { return compute() }
        let entry =
            "\(folder)/\(stamp.device)-\(stamp.inode)-\(stamp.size)-\(stamp.modified)-\(stamp.changed)"
        if let known = read(entry) { return known }
        let digest = compute()
        var status = stat()
        var now = timespec()
        guard stat(path, &status) == 0, FileStamp(status) == stamp, clock_gettime(CLOCK_REALTIME, &now) == 0,
            Int64(now.tv_sec) &* 1_000_000_000 &- max(stamp.modified, stamp.changed) > settledAfter
        else { return digest }
        write(digest, to: entry, in: folder)
        return digest
    }

    private static var folder: String? {
        if let cache = getenv("XDG_CACHE_HOME").map({ String(cString: $0) }), cache.hasPrefix("/") {
            return cache + "/patchloom/sha256"
        }
        guard let home = getenv("HOME").map({ String(cString: $0) }), home.hasPrefix("/") else { return nil }
        return home + "/.cache/patchloom/sha256"
    }

    private static func read(_ path: String) -> SHA256Digest? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(),
            status.st_mode & 0o022 == 0
        else { return nil }
        var text = [UInt8](repeating: 0, count: 65)
        guard Glibc.read(descriptor, &text, 65) == 64 else { return nil }
        return SHA256Digest(hex: String(decoding: text.prefix(64), as: UTF8.self))
    }

    private static func write(_ digest: SHA256Digest, to entry: String, in folder: String) {
        guard (try? makeFolders(folder, mode: 0o700)) != nil else { return }
        let temporary = "\(entry).\(getpid())"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        let text = Array(digest.hex.utf8)
        let isWritten = Glibc.write(descriptor, text, text.count) == text.count
        close(descriptor)
        if !isWritten || rename(temporary, entry) != 0 { unlink(temporary) }
    }
}

/// Makes a folder and those above it that are missing.
func makeFolders(_ path: String, mode: mode_t = 0o755) throws(WeightsError) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    let reason = errno
    if reason == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
        try makeFolders(String(path[..<slash]), mode: mode)
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
    }
    throw WeightsError(.unwritable, "The folder \(path) cannot be made: \(FileBytes.text(reason)).")
}
