import CSystem
import FileLinks
import Glibc
import Sentences

/// A place for a file that is written whole or not at all.
///
/// It is made before the work starts, and then finds out whether the file can be written. `write` puts the bytes into a
/// temporary file of the same folder, syncs them to the disk and renames the file. If any of this fails, nothing is left
/// behind.
public struct OutputFile: Sendable, Equatable {
    /// The path as the user wrote it.
    public let path: String
    /// Whether an existing file may be replaced.
    public let replacesExisting: Bool
    /// The place of the bytes: `path`, with a symbolic link at its end followed.
    private let target: String

    /// Checks the place by making and removing a temporary file in its folder.
    ///
    /// - Throws: `cannotWrite` if the folder is missing or not writable, or `path` is a folder or device; `exists` if a file
    ///   is there and `replacesExisting` is false.
    public init(path: String, replacesExisting: Bool = true) throws(ImageFileError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw ImageFileError(.cannotWrite, "The output path is empty or contains a zero character; give a file name.")
        }
        guard !path.hasSuffix("/") else { throw ImageFileError(.cannotWrite, "\(path) is a folder; give a file name.") }
        self.path = path
        self.replacesExisting = replacesExisting
        target = try Self.resolve(path, replacesExisting: replacesExisting)
        let (probe, descriptor) = try makeTemporary()
        close(descriptor)
        unlink(probe)
    }

    /// Writes the bytes and puts the file in place in one step.
    public func write(_ bytes: [UInt8]) throws(ImageFileError) {
        var draft = try draft()
        try draft.append(bytes)
        try draft.commit()
    }

    /// Begins the temporary file, for bytes that come in pieces.
    public func draft() throws(ImageFileError) -> Draft {
        let (temporary, descriptor) = try makeTemporary()
        keepPermissions(descriptor)
        return Draft(self, temporary, descriptor)
    }

    /// The temporary file. It is removed unless it is put in place.
    public struct Draft: ~Copyable {
        private let place: OutputFile
        private let temporary: String
        private let descriptor: Int32

        fileprivate init(_ place: OutputFile, _ temporary: String, _ descriptor: Int32) {
            (self.place, self.temporary, self.descriptor) = (place, temporary, descriptor)
        }

        deinit {
            close(descriptor)
            // After `commit` there is no file of this name.
            unlink(temporary)
        }

        /// Writes the next bytes.
        public mutating func append(_ bytes: [UInt8]) throws(ImageFileError) {
            let number = OutputFile.writeAll(bytes, to: descriptor)
            if number != 0 { throw place.failure(number) }
        }

        /// Syncs the file to the disk and puts it in place.
        public consuming func commit() throws(ImageFileError) {
            let number = fsync(descriptor) == 0 ? place.commit(temporary) : errno
            if number == EEXIST && !place.replacesExisting { throw OutputFile.existsError(place.path) }
            if number != 0 { throw place.failure(number) }
            place.syncFolder()
        }
    }

    private static func resolve(_ path: String, replacesExisting: Bool) throws(ImageFileError) -> String {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            // Nothing is there yet. The probe reports a missing folder.
            return path
        }
        guard replacesExisting else { throw existsError(path) }
        guard stat(path, &status) == 0, let real = realpath(path, nil) else {
            let number = errno
            let problem = BrokenLink(on: path)?.explanation ?? "\(path) cannot be reached: \(String(cString: strerror(number)))"
            throw ImageFileError(
                .cannotWrite, "\(problem); remove the link or give another name.", systemError: number)
        }
        defer { free(real) }
        switch status.st_mode & S_IFMT {
        case S_IFREG: return String(cString: real)
        case S_IFDIR: throw ImageFileError(.cannotWrite, "\(path) is a folder; give a file name.", systemError: EISDIR)
        default: throw ImageFileError(.cannotWrite, "\(path) is not a regular file; give another name.")
        }
    }

    /// A new, empty file beside the target, with the permissions of a new file of this user.
    private func makeTemporary() throws(ImageFileError) -> (path: String, descriptor: Int32) {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<16 {
            let name = "\(folder)/.patchloom-\(String(generator.next(), radix: 36)).tmp"
            let descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
            if descriptor >= 0 { return (name, descriptor) }
            if errno != EEXIST && errno != EINTR { throw failure(errno) }
        }
        throw failure(EEXIST)
    }

    /// A replaced file keeps its permissions, as if it had been written over. If the file system has none, there are none to
    /// keep.
    private func keepPermissions(_ descriptor: Int32) {
        var status = stat()
        if replacesExisting, stat(target, &status) == 0 { fchmod(descriptor, status.st_mode & 0o777) }
    }

    private var folder: String {
        guard let slash = target.lastIndex(of: "/") else { return "." }
        return slash == target.startIndex ? "" : String(target[..<slash])
    }

    /// Returns 0 or the error number.
    fileprivate static func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Int32 {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written)
            }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            written += count
        }
        return 0
    }

    fileprivate func commit(_ temporary: String) -> Int32 {
        if !replacesExisting { return csystem_rename_without_replacing(temporary, target) }
        return rename(temporary, target) == 0 ? 0 : errno
    }

    /// Syncs the new name to the disk. If a file system cannot do this for folders, the file is still there.
    fileprivate func syncFolder() {
        let descriptor = open(folder.isEmpty ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }

    fileprivate func failure(_ number: Int32) -> ImageFileError {
        let reason = String(cString: strerror(number))
        return ImageFileError(
            .cannotWrite, "\(path) cannot be written: \(reason); give a file name in a folder that you can write to.",
            systemError: number)
    }

    fileprivate static func existsError(_ path: String) -> ImageFileError {
        ImageFileError(
            .exists, naming: "\(path) exists already; give another name or leave out \(.noClobber).", systemError: EEXIST)
    }
}
