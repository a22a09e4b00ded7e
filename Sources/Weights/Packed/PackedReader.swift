import CSystem
import Glibc
import Sentences
import StrictJSON
import Synchronization
import TensorCore

/// The state of a file's content. Every use of a file changes its attributes, so the time of that change is no part of it.
struct PackedStamp: Equatable {
    private let device: dev_t
    private let inode: ino_t
    private let size: off_t
    private let seconds: Int
    private let nanoseconds: Int

    init(_ status: stat) {
        (device, inode, size) = (status.st_dev, status.st_ino, status.st_size)
        (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }
}

/// A file of packed weights, mapped and fully checked. Tensors made of it keep the mapping.
final class PackedReader: Sendable {
    let path: String
    let stamp: PackedStamp
    private let content: FileBytes
    private let entries: [String: Range<Int>]
    /// Whether a network asked for a tensor that the file lacks, though its key is the right one.
    private let hasLack = Mutex(false)

    var hasLacked: Bool { hasLack.withLock { $0 } }

    /// Maps the file at `path`.
    ///
    /// - Parameters:
    ///   - key: the key that the weights must have.
    ///   - threads: the number of threads that check the content.
    ///   - isKnown: whether the content of a file with this stamp was checked before.
    /// - Throws: `.notFound` if there is no file; `.malformed` for a file that is damaged, of other weights, or in the hands of
    ///   other users, who could put any numbers into it; `.unreadable`.
    init(
        path: String, key: String, threads: Int, isKnown: (PackedStamp) -> Bool = { _ in false }
    ) throws(WeightsError) {
        self.path = path
        (content, stamp) = try PackedReader.content(path)
        let head = try PackedReader.head(content.bytes, path)
        guard head.key == key else { throw .malformed("The packed weights \(path) are those of other weights.") }
        if !isKnown(stamp) {
            guard PackedReader.areIntact(content.bytes, PackedForm.dataOffset..<head.end, head.checksums, threads) else {
                throw PackedReader.damaged(path)
            }
        }
        entries = Dictionary(
            head.entries.map { (PackedReader.place($0.name, $0.format), $0.offset..<($0.offset + $0.byteCount)) }
        ) { first, _ in first }
    }

    /// Maps a file that only this user can change. Throws as `init` does.
    ///
    /// - Parameter isUse: whether the file is in use from now on: its time of last access changes, and it is locked.
    static func content(_ path: String, isUse: Bool = true) throws(WeightsError) -> (FileBytes, PackedStamp) {
        var stamp = PackedStamp(stat())
        let content = try FileBytes(
            mapping: path, followsLinks: false, isUse: isUse, isLocked: isUse
        ) { status throws(WeightsError) in
            stamp = PackedStamp(status)
            guard status.st_uid == geteuid() else {
                throw .malformed("The packed weights \(path) belong to another user.")
            }
            guard status.st_mode & (S_IWGRP | S_IWOTH) == 0 else {
                throw .malformed("The packed weights \(path) can be changed by other users.")
            }
        }
        return (content, stamp)
    }

    /// The table of a file, without a look at its tensors. Throws `.malformed`.
    static func head(_ bytes: UnsafeRawBufferPointer, _ path: String) throws(WeightsError) -> CheckedHead {
        guard let prologue = PackedPrologue(bytes), let offset = Int(exactly: prologue.headOffset),
            let count = Int(exactly: prologue.headBytes), UInt64(bytes.count) == prologue.fileBytes,
            offset >= PackedForm.dataOffset, offset <= bytes.count, count == bytes.count - offset
        else { throw damaged(path) }
        let text = UnsafeRawBufferPointer(rebasing: bytes[offset...])
        guard csystem_crc32c(0, text.baseAddress, text.count) == prologue.headChecksum,
            let json = try? JSONValue(parsing: text, limits: PackedForm.headLimits), let head = PackedHead(json, end: offset)
        else { throw damaged(path) }
        return CheckedHead(key: head.key, entries: head.entries, checksums: head.checksums, end: offset)
    }

    /// A head whose numbers fit its file.
    struct CheckedHead {
        let key: String
        let entries: [PackedHead.Entry]
        let checksums: [UInt32]
        /// The end of the tensors.
        let end: Int
    }

    private static func damaged(_ path: String) -> WeightsError {
        .malformed("The packed weights \(path) are damaged.")
    }

    /// Whether the tensors have their checksums.
    private static func areIntact(
        _ bytes: UnsafeRawBufferPointer, _ data: Range<Int>, _ checksums: [UInt32], _ threads: Int
    ) -> Bool {
        let found = Mutex(true)
        ParallelPool(threads: max(1, threads)).run(checksums.count) { piece, _ in
            let first = data.lowerBound + piece * PackedForm.pieceBytes
            let part = UnsafeRawBufferPointer(rebasing: bytes[first..<min(first + PackedForm.pieceBytes, data.upperBound)])
            if csystem_crc32c(0, part.baseAddress, part.count) != checksums[piece] { found.withLock { $0 = false } }
        }
        return found.withLock { $0 }
    }

    /// A tensor of `byteCount` bytes; its shape is for the caller. Throws `.malformed` if the file lacks it.
    func tensor(
        _ name: String, format: String, byteCount: Int, shape: [Int], of type: ElementType
    ) throws(WeightsError) -> Tensor {
        guard let place = entries[PackedReader.place(name, format)], place.count == byteCount else {
            hasLack.withLock { $0 = true }
            throw .malformed("The packed weights \(path) have no \(quoted(name)) in the order \(format).")
        }
        // The gap behind a tensor belongs to the mapping, so a whole number of elements may be seen.
        let end = min(content.bytes.count, place.lowerBound + (byteCount + 63) / 64 * 64)
        return Tensor(
            readOnly: UnsafeRawBufferPointer(rebasing: content.bytes[place.lowerBound..<end]), shape: shape, of: type,
            owner: content)
    }

    /// A tensor in the table.
    static func place(_ name: String, _ format: String) -> String { "\(name)\n\(format)" }
}
