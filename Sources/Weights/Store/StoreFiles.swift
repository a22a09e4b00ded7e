import CSystem
import ContentHash
import Glibc
import Sentences

/// The file operations of the model store. Each is done whole or not at all, and is on the disk when it returns.
enum StoreFiles {
    /// Runs `body` while this process holds the store's lock. If `exclusive`, no other process may read the store meanwhile.
    static func locked<Value>(
        _ folder: String, exclusive: Bool, _ body: () throws(WeightsError) -> Value
    ) throws(WeightsError) -> Value {
        if exclusive { try makeFolders(folder) }
        let path = folder + "/lock"
        let flags = O_CLOEXEC | O_NOFOLLOW | (exclusive ? O_RDWR | O_CREAT : O_RDONLY)
        let descriptor = open(path, flags, 0o644)
        guard descriptor >= 0 else {
            // Nobody has written to a store without a lock.
            let reason = errno
            if !exclusive && reason == ENOENT { return try body() }
            throw exclusive ? unwritable(path, reason) : unreadable(path, reason)
        }
        defer { close(descriptor) }
        while flock(descriptor, exclusive ? LOCK_EX : LOCK_SH) != 0 {
            let reason = errno
            guard reason == EINTR else {
                throw .unwritable("\(path) cannot be locked: \(FileBytes.text(reason)).")
            }
        }
        return try body()
    }

    /// Puts a small file in place in one step.
    static func write(_ bytes: [UInt8], to path: String) throws(WeightsError) {
        let temporary = "\(path).\(getpid()).tmp"
        unlink(temporary)
        let descriptor = try create(temporary)
        let number = bytes.withUnsafeBytes { writeAll($0, to: descriptor) }
        close(descriptor)
        guard number == 0, rename(temporary, path) == 0 else {
            let reason = number == 0 ? errno : number
            unlink(temporary)
            throw unwritable(path, reason)
        }
        sync(parent(path))
    }

    /// Makes `target` a read-only file with the bytes of `content`. It shares blocks with the original if the file system can;
    /// otherwise it is a copy. It is never a hard link: a write to the original would change it.
    ///
    /// Returns the new file, read back and with the hash `digest`. Throws `.unwritable`, and `.unreadable` if the content has
    /// changed.
    static func place(_ content: FileBytes, _ digest: SHA256Digest, at target: String) throws(WeightsError) -> FileBytes {
        do throws(WeightsError) {
            try copy(content, to: target)
            let placed = try FileBytes(mapping: target, followsLinks: false)
            guard placed.digest() == digest else {
                throw .unreadable("\(content.path ?? target) was changed while it was imported; import the model again.")
            }
            return placed
        } catch {
            unlink(target)
            throw error
        }
    }

    private static func copy(_ content: FileBytes, to target: String) throws(WeightsError) {
        // `place` checks the content, as the path may lead to another file by now.
        if let source = content.path, csystem_clone_file(source, target) == 0 {
            guard chmod(target, 0o444) == 0 else { throw unwritable(target, errno) }
            return
        }
        let descriptor = try create(target, mode: 0o444)
        let number = writeAll(content.bytes, to: descriptor)
        close(descriptor)
        guard number == 0 else { throw unwritable(target, number) }
    }

    /// Writes the names in a folder to the disk, if the file system can.
    static func sync(_ folder: String) {
        let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    /// Names in a folder, sorted; none for a missing folder.
    static func names(in folder: String) throws(WeightsError) -> [String] {
        if let names = Weights.names(in: folder) { return names.sorted() }
        let reason = errno
        if reason == ENOENT { return [] }
        throw .unreadable("The folder \(folder) cannot be read: \(FileBytes.text(reason)).")
    }

    static func remove(_ path: String) throws(WeightsError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw unwritable(path, errno) }
    }

    static func unwritable(_ path: String, _ reason: Int32) -> WeightsError {
        WeightsError.unwritable("\(path) cannot be written: \(FileBytes.text(reason)).")
    }

    private static func unreadable(_ path: String, _ reason: Int32) -> WeightsError {
        WeightsError.unreadable("\(path) cannot be opened for reading: \(FileBytes.text(reason)).")
    }

    private static func parent(_ path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
    }

    private static func create(_ path: String, mode: mode_t = 0o644) throws(WeightsError) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode)
        guard descriptor >= 0 else { throw unwritable(path, errno) }
        return descriptor
    }

    /// 0 or the error number. At the end the bytes are on the disk.
    private static func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress?.advanced(by: written), min(bytes.count - written, 1 << 26))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            written += count
        }
        return fsync(descriptor) == 0 ? 0 : errno
    }
}

/// Refuses to keep files that can be made again in a folder of another user, or to make such a folder for root inside another
/// user's.
///
/// `sudo` may leave `HOME` as it was. Then files of root would lie in the user's caches, which the user could neither use nor
/// replace. Throws `.unwritable`.
func checkOwnFolder(_ folder: String) throws(WeightsError) {
    var path = folder
    while true {
        if let status = status(of: path) {
            guard status.st_uid != geteuid(), path == folder || geteuid() == 0 else { return }
            let place = path == folder ? "" : " would be made in \(path), which"
            throw .unwritable(
                "The folder \(folder)\(place) belongs to another user; run the program as that user, or set PATCHLOOM_HOME to a "
                    + "folder of this one.")
        }
        // The functions that make the folder report all other obstacles.
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        path = String(path[..<slash])
    }
}

/// Makes a folder and its missing parents.
func makeFolders(_ path: String) throws(WeightsError) {
    if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    let reason = errno
    if reason == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex {
        try makeFolders(String(path[..<slash]))
        if mkdir(path, 0o755) == 0 || errno == EEXIST { return }
    }
    throw .unwritable("The folder \(path) cannot be made: \(FileBytes.text(reason)).")
}
