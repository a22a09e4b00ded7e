import CSystem
import Glibc
import Sentences
import StrictJSON
import Synchronization
import TensorCore

/// Writes a file of packed weights, tensor by tensor, so that only one of them is in memory at a time.
final class PackedWriter: Sendable {
    /// The files of the weights changed while they were read.
    struct SourceChanged: Error {}

    private struct State {
        var layout = PackedLayout()
        /// The end of the bytes so far.
        var offset = PackedForm.dataOffset
        var checksums: [UInt32] = []
        /// The checksum of the piece under way.
        var checksum: UInt32 = 0
        /// The disk's refusal: then the file is of no use, but the weights may be good.
        var failure: WeightsError?
    }

    private let descriptor: Int32
    private let path: String
    private let state = Mutex(State())

    /// - Parameter descriptor: a file open for writing, empty or of zeros. The caller closes it.
    init(_ descriptor: Int32, path: String) { (self.descriptor, self.path) = (descriptor, path) }

    /// The disk's refusal; nil if it took everything so far.
    var failure: WeightsError? { state.withLock { $0.failure } }

    /// Adds a tensor. A second one of the same name and format is the same tensor and is skipped.
    ///
    /// Throws `.unwritable`.
    func add(_ name: String, format: String, _ bytes: UnsafeRawBufferPointer) throws(WeightsError) {
        let failure = state.withLock { state -> WeightsError? in
            guard let entry = state.layout.add(name, format: format, byteCount: bytes.count) else { return nil }
            let gap = [UInt8](repeating: 0, count: entry.offset - state.offset)
            var reason = gap.withUnsafeBytes { append($0, &state) }
            if reason == 0 { reason = append(bytes, &state) }
            if reason != 0 { state.failure = StoreFiles.unwritable(path, reason) }
            return state.failure
        }
        if let failure { throw failure }
    }

    /// Completes the file and puts it on the disk. Throws `.unwritable`.
    func finish(_ key: String) throws(WeightsError) {
        let reason = state.withLock { state -> Int32 in
            if (state.offset - PackedForm.dataOffset) % PackedForm.pieceBytes != 0 { state.checksums.append(state.checksum) }
            let head = PackedHead(key: key, entries: state.layout.entries, checksums: state.checksums).json().canonicalBytes()
            let prologue = PackedPrologue(
                headOffset: UInt64(state.offset), headBytes: UInt64(head.count), fileBytes: UInt64(state.offset + head.count),
                headChecksum: crc32c(head))
            var reason = head.withUnsafeBytes { write($0, at: state.offset) }
            if reason == 0 { reason = prologue.bytes().withUnsafeBytes { write($0, at: 0) } }
            // The file may have been given a few bytes more than it needs.
            if reason == 0, ftruncate(descriptor, off_t(state.offset + head.count)) != 0 { reason = errno }
            if reason == 0, fsync(descriptor) != 0 { reason = errno }
            return reason
        }
        guard reason == 0 else { throw StoreFiles.unwritable(path, reason) }
    }

    /// Writes and counts bytes behind all others. Returns 0 or the error number.
    private func append(_ bytes: UnsafeRawBufferPointer, _ state: inout State) -> Int32 {
        let reason = write(bytes, at: state.offset)
        guard reason == 0 else { return reason }
        var rest = bytes[...]
        while !rest.isEmpty {
            let filled = (state.offset - PackedForm.dataOffset) % PackedForm.pieceBytes
            let part = UnsafeRawBufferPointer(rebasing: rest.prefix(PackedForm.pieceBytes - filled))
            state.checksum = csystem_crc32c(filled == 0 ? 0 : state.checksum, part.baseAddress, part.count)
            state.offset += part.count
            if filled + part.count == PackedForm.pieceBytes { state.checksums.append(state.checksum) }
            rest = rest.dropFirst(part.count)
        }
        return 0
    }

    private func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> Int32 {
        var written = 0
        while written < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress?.advanced(by: written), min(bytes.count - written, 1 << 26),
                off_t(offset + written))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return count < 0 ? errno : EIO }
            written += count
        }
        return 0
    }
}
