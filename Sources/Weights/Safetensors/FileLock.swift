import Glibc

/// A lock of flock(2) on a file, held as long as this object lives.
///
/// A process that maps a file which others may remove for its space holds a shared lock. A process that removes the file holds
/// an exclusive one: the space of a mapped file comes back only when the last mapping goes.
final class FileLock: Sendable {
    private let descriptor: Int32

    private init(owning descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// A lock that readers share; nil if it cannot be had, since a file can be read without it too.
    static func shared(_ file: Int32) -> FileLock? {
        let copy = fcntl(file, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { return nil }
        // Others hold an exclusive lock for some system calls.
        let lock = FileLock(owning: copy)
        return lock.takes(LOCK_SH, milliseconds: 50) ? lock : nil
    }

    /// The lock of a folder in which files are removed; nil on file systems without locks of folders.
    static func folder(_ path: String) -> FileLock? {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        // A process that was stopped while it holds the lock must not keep others from starting.
        let lock = FileLock(owning: descriptor)
        return lock.takes(LOCK_EX, milliseconds: 2000) ? lock : nil
    }

    /// The lock of a file that nobody reads; nil for all others, and for files that this user cannot open.
    static func exclusive(_ path: String) -> FileLock? {
        let descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        let lock = FileLock(owning: descriptor)
        return lock.takes(LOCK_EX, milliseconds: 0) ? lock : nil
    }

    private func takes(_ kind: Int32, milliseconds: Int) -> Bool {
        for _ in 0..<milliseconds {
            if flock(descriptor, kind | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK || errno == EINTR else { return false }
            usleep(1000)
        }
        return flock(descriptor, kind | LOCK_NB) == 0
    }
}
