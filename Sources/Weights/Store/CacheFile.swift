import Glibc
import Sentences

/// Records that lie in a file of the cache.
package protocol CacheRecords {
    /// The name of the file.
    static var fileName: String { get }
    /// The most bytes of the file.
    static var maxByteCount: Int { get }

    init()

    /// nil for damaged bytes.
    init?(_ bytes: [UInt8])

    var bytes: [UInt8] { get }
}

/// A file of records that can be made again at any time. It belongs to one user, and all processes of the user share it.
///
/// A process that changes it holds the lock beside it, and replaces it in one step. So readers need no lock.
package struct CacheFile<Records: CacheRecords>: Sendable {
    package let folder: String

    var path: String { folder + "/" + Records.fileName }

    package init(folder: String) { self.folder = folder }

    /// In the user's cache folder; nil if no variable names it.
    package static var standard: CacheFile? {
        guard let folder = StandardFolders.cache else { return nil }
        return CacheFile(folder: folder)
    }

    /// A process that was stopped while it holds the lock must not keep others from starting.
    private static var lockTries: Int { 100 }
    private static var lockPause: UInt32 { 10_000 }

    /// The records; none if the file is missing, damaged, or may have been written by another user.
    package func read() -> Records {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW)
        guard descriptor >= 0 else { return Records() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.isFile, isOwn(status), status.st_mode & (S_IWGRP | S_IWOTH) == 0,
            status.st_size <= Records.maxByteCount
        else { return Records() }
        // Not mapped, because others may shorten it.
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            while count < buffer.count {
                let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
                if got < 0 && errno == EINTR { continue }
                guard got > 0 else { return }
                count += got
            }
        }
        return Records(bytes) ?? Records()
    }

    /// Changes the newest records, and gives them back. Throws `.unwritable`.
    @discardableResult
    package func change(_ change: (inout Records) -> Void) throws(WeightsError) -> Records {
        try checkOwnFolder(folder)
        try makeFolders(folder)
        let descriptor = try lock()
        defer { close(descriptor) }
        var records = read()
        change(&records)
        try StoreFiles.write(records.bytes, to: path)
        // The remains of processes that were killed.
        for name in try StoreFiles.names(in: folder) where name.hasPrefix(Records.fileName + ".") && name.hasSuffix(".tmp") {
            try StoreFiles.remove("\(folder)/\(name)")
        }
        return records
    }

    private func lock() throws(WeightsError) -> Int32 {
        let path = self.path + ".lock"
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw StoreFiles.unwritable(path, errno) }
        for _ in 0..<Self.lockTries {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { return descriptor }
            guard errno == EWOULDBLOCK || errno == EINTR else { break }
            usleep(Self.lockPause)
        }
        let reason = errno
        close(descriptor)
        throw .unwritable("\(path) cannot be locked: \(FileBytes.text(reason)).")
    }

    private func isOwn(_ status: stat) -> Bool { status.st_uid == geteuid() }
}
