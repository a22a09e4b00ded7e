import Glibc
import Sentences

/// The file in which a `DigestMemory` keeps its records. It belongs to one user, and all processes of the user share it.
///
/// A process that changes it holds the lock beside it, and replaces it in one step. So readers need no lock.
struct DigestFile: Sendable {
    let folder: String

    var path: String { folder + "/digests" }

    /// A process that was stopped while it holds the lock must not keep others from starting.
    private static let (lockTries, lockPause) = (100, UInt32(10_000))

    /// The records; none if the file is missing, damaged, or may have been written by another user.
    func read() -> DigestRecords {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW)
        guard descriptor >= 0 else { return DigestRecords() }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.isFile, isOwn(status), status.st_mode & (S_IWGRP | S_IWOTH) == 0,
            status.st_size <= DigestRecords.maxByteCount
        else { return DigestRecords() }
        // Not mapped, because others may shorten it.
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(status.st_size)) { buffer, count in
            while count < buffer.count {
                let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: count), buffer.count - count)
                if got < 0 && errno == EINTR { continue }
                guard got > 0 else { return }
                count += got
            }
        }
        return DigestRecords(bytes) ?? DigestRecords()
    }

    /// Changes the newest records, and gives them back. Throws `.unwritable`.
    func change(_ change: (inout DigestRecords) -> Void) throws(WeightsError) -> DigestRecords {
        try checkOwnFolder(folder)
        try makeFolders(folder)
        let descriptor = try lock()
        defer { close(descriptor) }
        var records = read()
        change(&records)
        try StoreFiles.write(records.bytes, to: path)
        // The remains of processes that were killed.
        for name in try StoreFiles.names(in: folder) where name.hasPrefix("digests.") && name.hasSuffix(".tmp") {
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
