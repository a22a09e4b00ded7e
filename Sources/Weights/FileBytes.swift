import Glibc

/// The bytes of one file: mapped from disk, or part of the program.
///
/// A mapping is private and read-only, so all processes that map a file share one copy of it in the page cache. The file is
/// opened without `O_NOFOLLOW`, because the Hugging Face cache consists of links into its `blobs` folder; what the link leads
/// to must be a regular file. Size, hash and content all come from the one descriptor that was checked.
///
/// A file that is cut short by somebody **after** it was opened makes later reads end the process with SIGBUS: no reader of
/// mapped files can prevent that. Replace model files by renaming, never by writing into them.
///
/// `@unchecked Sendable`: the pointer is set once in `init`, and the memory behind it is never written.
final class FileBytes: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer
    private let isMapped: Bool

    /// Bytes that live as long as the program.
    init(permanent bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        isMapped = false
    }

    /// Maps the regular file at `path`.
    init(mapping path: String) throws(WeightsError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw WeightsError(.badPath, "\(quoted(path)) is not a path; name a file.")
        }
        // Not blocking: opening a named pipe would otherwise wait for a writer. For regular files it means nothing.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard descriptor >= 0 else {
            let reason = errno
            throw FileBytes.openError(path, reason)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw WeightsError(.unreadable, "\(path) cannot be examined: \(FileBytes.text(errno)).")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw WeightsError(.unreadable, "\(path) is not a regular file; name a file of the model.")
        }
        isMapped = status.st_size > 0
        guard isMapped else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw WeightsError(.unreadable, "\(path) cannot be mapped into memory: \(FileBytes.text(errno)).")
        }
        bytes = UnsafeRawBufferPointer(start: base, count: status.st_size)
    }

    deinit {
        if isMapped, let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    private static func openError(_ path: String, _ reason: Int32) -> WeightsError {
        if reason == ENOENT || reason == ENOTDIR {
            return WeightsError(.notFound, "\(path) does not exist; check the path of the model.")
        }
        return WeightsError(.unreadable, "\(path) cannot be opened: \(text(reason)).")
    }

    static func text(_ reason: Int32) -> String { String(cString: strerror(reason)) }
}

/// Whether something is at `path`, links followed.
func fileExists(_ path: String) -> Bool {
    var status = stat()
    return !path.utf8.contains(0) && stat(path, &status) == 0
}

/// Throws unless `path` is a folder.
func checkFolder(_ path: String) throws(WeightsError) {
    guard !path.isEmpty, !path.utf8.contains(0) else {
        throw WeightsError(.badPath, "\(quoted(path)) is not a path; name the folder of a model.")
    }
    var status = stat()
    guard stat(path, &status) == 0 else {
        let reason = errno
        guard reason == ENOENT || reason == ENOTDIR else {
            throw WeightsError(.unreadable, "\(path) cannot be examined: \(FileBytes.text(reason)).")
        }
        throw WeightsError(.notFound, "\(path) does not exist; check the path of the model.")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
        if let foreign = ForeignFormat.recognise(name: path) { throw foreign.refusal(path) }
        throw WeightsError(
            .unsupportedFormat, "\(path) is a file; a model is a folder in diffusers' layout, with a model_index.json in it.")
    }
}
