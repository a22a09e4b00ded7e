import CSystem
import ContentHash
import FileLinks
import Glibc
import Sentences
import Synchronization
import TensorCore

/// The bytes of one file: mapped from disk, made in memory, or part of the program.
///
/// A mapping is private and read-only, so all processes share one copy of a file in the page cache. Links are followed, because
/// the Hugging Face cache consists of links into its `blobs` folder; the target must be a regular file. Size, hash and content
/// come from the same descriptor.
///
/// If somebody shortens the file **after** it was opened, later reads end the process with SIGBUS; no reader of mapped files
/// can prevent that. Replace model files by renaming, never by writing into them.
///
/// `@unchecked Sendable`: the pointer is set once in `init`, and the memory behind it is never written afterwards.
final class FileBytes: @unchecked Sendable {
    /// `O_NOATIME` of open(2), which the Glibc module hides; the same number on x86-64 and arm64.
    private static let noAccessTime: Int32 = 1 << 18

    private enum Memory { case permanent, owned, mapped }

    let bytes: UnsafeRawBufferPointer
    /// The path of a mapped file.
    let path: String?
    private let memory: Memory
    let stamp: FileStamp?
    private let digests: DigestMemory?
    /// The lock that tells other processes that the file is mapped.
    private let lock: FileLock?
    private let knownDigest = Mutex<SHA256Digest?>(nil)

    /// Bytes that live as long as the program.
    init(permanent bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        (memory, path, stamp, digests, lock) = (.permanent, nil, nil, nil, nil)
    }

    /// A file that exists in memory only.
    init(_ content: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, content.count), alignment: 64)
        copy.copyBytes(from: content)
        bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(copy)[..<content.count])
        (memory, path, stamp, digests, lock) = (.owned, nil, nil, nil, nil)
    }

    /// Maps the regular file at `path`. If `followsLinks`, the path may be a link to the file. `digests` may know its hash;
    /// without it, the bytes are hashed. Without `isUse`, the file keeps its time of last access; it must be this user's.
    /// If `isLocked`, a shared lock tells processes that remove files that this one is mapped. `check` sees the status of the
    /// opened file, and may refuse it.
    init(
        mapping path: String, followsLinks: Bool = true, digests: DigestMemory? = nil, isUse: Bool = true,
        isLocked: Bool = false, check: (stat) throws(WeightsError) -> Void = { _ in }
    ) throws(WeightsError) {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .badPath("\(quoted(path)) is not a path; name a file.")
        }
        // Without O_NONBLOCK, opening a named pipe would wait for a writer.
        let flags = (followsLinks ? 0 : O_NOFOLLOW) | (isUse ? 0 : FileBytes.noAccessTime)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags)
        guard descriptor >= 0 else { throw FileBytes.openError(path, errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw .unreadable("\(path) cannot be examined: \(FileBytes.text(errno)).")
        }
        guard status.isFile else {
            throw .unreadable("\(path) is not a regular file; name a file of the model.")
        }
        try check(status)
        (self.path, self.digests) = (path, digests)
        stamp = FileStamp(status)
        lock = isLocked ? FileLock.shared(descriptor) : nil
        guard status.st_size > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            memory = .permanent
            return
        }
        guard let base = mmap(nil, status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw .unreadable("\(path) cannot be mapped into memory: \(FileBytes.text(errno)).")
        }
        bytes = UnsafeRawBufferPointer(start: base, count: status.st_size)
        memory = .mapped
    }

    deinit {
        guard let base = bytes.baseAddress else { return }
        switch memory {
        case .mapped: munmap(UnsafeMutableRawPointer(mutating: base), bytes.count)
        case .owned: base.deallocate()
        case .permanent: break
        }
    }

    /// Whether the file at its path is not the one that was opened, or has another stamp by now.
    var hasChanged: Bool {
        guard let path, let stamp else { return false }
        return FileStamp(path: path) != stamp
    }

    /// The SHA-256 of the bytes, from the memory of hashes or computed once.
    func digest() -> SHA256Digest {
        knownDigest.withLock { known in
            if let known { return known }
            let digest = digests?.digest(of: self) ?? hashed()
            known = digest
            return digest
        }
    }

    /// The SHA-256 of the bytes from `start` on, where the tensors of a safetensors file begin.
    func tensorsDigest(from start: Int) -> SHA256Digest {
        digests?.tensorsDigest(of: self, from: start) ?? hashed(from: start)
    }

    /// Finds the digests of several files, large ones at the same time.
    ///
    /// Large files come first, so that no thread begins a large one when the others are done.
    static func prepareDigests(of contents: some Sequence<FileBytes>) {
        let large = contents.filter { $0.bytes.count >= pieceBytes }.sorted { $0.bytes.count > $1.bytes.count }
        let threads = min(Int(csystem_available_processors()), hashingThreads)
        ParallelPool(threads: threads).run(large.count) { index, _ in _ = large[index].digest() }
    }

    /// The most threads that hash. More do not pay: a model has one file that is larger than the others together.
    private static let hashingThreads = 4
    private static let pieceBytes = 8 << 20

    /// Computes the SHA-256 of the bytes from `first` on. While a piece is hashed, the system reads the next. Pages that are
    /// done go, because a process that knows its model needs few of them; the system still has them for all processes.
    ///
    /// - Parameter advised: sees the pages that advice is given for. For tests.
    func hashed(from first: Int = 0, advised: (Range<Int>, Int32) -> Void = { _, _ in }) -> SHA256Digest {
        let hasher = SHA256Hasher()
        func advise(_ range: Range<Int>, _ advice: Int32) {
            if let pages = self.advise(range, advice) { advised(pages, advice) }
        }
        // The bytes are mapped as long as this object lives.
        withExtendedLifetime(self) {
            var start = first
            while start < bytes.count {
                // Tensors seldom begin at a page. All pieces but the first do.
                let end = min((start / Self.pieceBytes + 1) * Self.pieceBytes, bytes.count)
                advise(end..<min(end + Self.pieceBytes, bytes.count), MADV_WILLNEED)
                hasher.update(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                advise(start..<end, MADV_DONTNEED)
                start = end
            }
        }
        return hasher.finalize()
    }

    /// Gives back the pages of bytes that are not needed soon, so that they do not count as this process's memory. The system
    /// still has them for all processes.
    func forget(_ range: Range<Int>) { _ = advise(range, MADV_DONTNEED) }

    /// Advises the system about the pages that lie in a range of bytes. Pages at its borders stay as they are, since others may
    /// need their other bytes; behind the end of the file there are none. Returns the pages, from the first byte of the file.
    private func advise(_ range: Range<Int>, _ advice: Int32) -> Range<Int>? {
        guard memory == .mapped, let base = bytes.baseAddress else { return nil }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let last = range.upperBound == bytes.count ? range.upperBound + page - 1 : range.upperBound
        let (start, end) = ((range.lowerBound + page - 1) / page * page, last / page * page)
        guard end > start else { return nil }
        // Advice that the system does not take changes no byte.
        madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, advice)
        return start..<end
    }

    fileprivate static func openError(_ path: String, _ reason: Int32) -> WeightsError {
        if [ENOENT, ENOTDIR, ELOOP].contains(reason), let link = brokenLink(path) { return link }
        return reason == ENOENT || reason == ENOTDIR
            ? .notFound("\(path) does not exist; check the path of the model.")
            : .unreadable("\(path) cannot be opened: \(text(reason)).")
    }

    /// The error for a link that leads nowhere, at the path or on the way to it; nil where there is none.
    static func brokenLink(_ path: String) -> WeightsError? {
        BrokenLink(on: path).map { link in
            WeightsError.notFound("\(link.explanation); download the file again, or mend the link.")
        }
    }

    static func text(_ reason: Int32) -> String { String(cString: strerror(reason)) }
}

/// The status of the file at `path`, links followed; nil, with the reason in `errno`, if there is none.
func status(of path: String) -> stat? {
    guard !path.utf8.contains(0) else {
        errno = ENOENT
        return nil
    }
    var status = stat()
    return stat(path, &status) == 0 ? status : nil
}

extension stat {
    var isFolder: Bool { st_mode & S_IFMT == S_IFDIR }
    var isFile: Bool { st_mode & S_IFMT == S_IFREG }
}

/// Whether something is at `path`, links followed.
func fileExists(_ path: String) -> Bool { status(of: path) != nil }

/// Whether something is at `path`, also a broken link or a file that may not be examined.
func entryExists(_ path: String) -> Bool {
    var status = stat()
    guard !path.utf8.contains(0) else { return false }
    return lstat(path, &status) == 0 || errno == EACCES
}

/// Whether a folder is at `path`, links followed.
func isFolder(_ path: String) -> Bool { status(of: path)?.isFolder == true }

/// The names in a folder that `isTaken` takes, in no order and without "." and ".."; nil, with the reason in `errno`, for a
/// folder that cannot be read.
func names(in folder: String, atMost limit: Int = .max, where isTaken: (String) -> Bool = { _ in true }) -> [String]? {
    guard let stream = opendir(folder) else { return nil }
    defer { closedir(stream) }
    var names: [String] = []
    while names.count < limit, let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
        }
        if name != ".", name != "..", isTaken(name) { names.append(name) }
    }
    return names
}

func checkFolder(_ path: String) throws(WeightsError) {
    guard !path.isEmpty, !path.utf8.contains(0) else {
        throw .badPath("\(quoted(path)) is not a path; name the folder of a model.")
    }
    guard let status = status(of: path) else { throw FileBytes.openError(path, errno) }
    guard status.isFolder else {
        if let content = try? FileBytes(mapping: path), let refusal = ForeignFormat.refusal(content, named: path) {
            throw refusal
        }
        throw .unsupportedFormat("\(path) is a file, not a folder; name a folder.")
    }
}
