import CSystem
import Glibc
public import Sentences

/// Bytes that are too many for memory: a file without a name. The system frees it when nobody holds it any more, also when the
/// process is killed.
///
/// Small files are in memory, so that a small picture needs no disk. Large ones are in the folder of `TMPDIR`, else in
/// `/var/tmp`: `/tmp` is memory on many hosts.
public final class ScratchFile: Sendable {
    /// Files of at most this number of bytes are in memory.
    public static let memoryLimit = 32 << 20

    private let descriptor: Int32
    /// The folder of the file; nil in memory.
    private let folder: String?

    /// - Parameters:
    ///   - bytes: about its final size.
    ///   - memoryLimit: files of at most this number of bytes are in memory.
    /// - Throws: `ScratchError` if the folder cannot hold a file.
    public convenience init(bytes: Int, memoryLimit: Int = ScratchFile.memoryLimit) throws(ScratchError) {
        try self.init(in: bytes <= memoryLimit ? nil : Self.folder)
    }

    /// Throws if the folder has no room for `bytes` bytes now. It is for work that takes long before it needs them.
    public static func requireRoom(bytes: Int) throws(ScratchError) {
        guard bytes > memoryLimit else { return }
        // Opens a file, so that a folder that cannot be used is found too.
        let file = try ScratchFile(in: folder)
        var status = statvfs()
        guard fstatvfs(file.descriptor, &status) == 0 else { throw ScratchError(errno: errno, folder: folder) }
        let (free, overflows) = Int(clamping: status.f_bavail).multipliedReportingOverflow(by: Int(clamping: status.f_frsize))
        guard overflows || free >= bytes else { throw ScratchError(errno: ENOSPC, folder: folder) }
    }

    /// - Parameter folder: nil for memory.
    package init(in folder: String?) throws(ScratchError) {
        let opened = csystem_scratch_file(folder)
        guard opened >= 0 else { throw ScratchError(errno: -opened, folder: folder) }
        (descriptor, self.folder) = (opened, folder)
    }

    deinit { close(descriptor) }

    private static var folder: String {
        let chosen = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        return chosen.isEmpty ? "/var/tmp" : chosen
    }

    /// Writes bytes from a place on. Places that were never written have zeros.
    public func write(_ bytes: UnsafeRawBufferPointer, at place: Int) throws(ScratchError) {
        var done = 0
        while done < bytes.count {
            let count = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, off_t(place + done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw ScratchError(errno: count < 0 ? errno : ENOSPC, folder: folder) }
            done += count
        }
    }

    /// Writes bytes from a place on.
    public func write(_ bytes: [UInt8], at place: Int) throws(ScratchError) {
        var result = Result<Void, ScratchError>.success(())
        bytes.withUnsafeBytes { buffer in
            result = Result { () throws(ScratchError) in try write(buffer, at: place) }
        }
        try result.get()
    }

    /// Fills the buffer with the bytes from a place on.
    public func read(into buffer: UnsafeMutableRawBufferPointer, at place: Int) throws(ScratchError) {
        var done = 0
        while done < buffer.count {
            let count = pread(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(place + done))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw ScratchError(errno: count < 0 ? errno : EIO, folder: folder) }
            done += count
        }
    }

    /// The bytes from a place on.
    public func read(_ count: Int, at place: Int) throws(ScratchError) -> [UInt8] {
        var result = Result<Void, ScratchError>.success(())
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            result = Result { () throws(ScratchError) in try read(into: UnsafeMutableRawBufferPointer(buffer), at: place) }
            filled = count
        }
        try result.get()
        return bytes
    }
}

/// The disk has no room for bytes that are too many for memory, or cannot be used.
public struct ScratchError: SentenceError, Equatable {
    /// The system's error number.
    public let number: Int32
    public let sentence: Sentence

    /// The file would be larger than a file can be.
    public static let tooLarge = ScratchError(errno: EFBIG, folder: "its file")

    /// - Parameter folder: nil for memory.
    init(errno number: Int32, folder: String?) {
        self.number = number
        let reason = String(cString: strerror(number))
        guard let folder else {
            sentence = "There is no memory for a temporary file (\(reason)): end other programs, or choose a smaller picture."
            return
        }
        let remedy = "set TMPDIR to a folder on a disk with room"
        sentence =
            switch number {
            case ENOSPC, EDQUOT: "The disk of \(folder) is full: free some space there, or \(remedy)."
            default: "No temporary file can be used in \(folder) (\(reason)): \(remedy)."
            }
    }
}
