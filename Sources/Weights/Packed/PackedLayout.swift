import StrictJSON
import Synchronization

/// The places of the tensors in a file of packed weights, in the order in which a network asks for them.
struct PackedLayout {
    private(set) var entries: [PackedHead.Entry] = []
    private var places: Set<String> = []
    /// The end of the tensors.
    private(set) var end = PackedForm.dataOffset

    /// Gives a tensor its place behind all others. Returns nil if there is nothing to write: a second one of the same name and
    /// format is the same tensor.
    mutating func add(_ name: String, format: String, byteCount: Int) -> PackedHead.Entry? {
        guard byteCount > 0, places.insert(PackedReader.place(name, format)).inserted else { return nil }
        let offset = PackedForm.aligned(end, for: byteCount)
        let entry = PackedHead.Entry(name: name, format: format, offset: offset, byteCount: byteCount)
        entries.append(entry)
        end = offset + byteCount
        return entry
    }

    /// The bytes of the whole file, or a few more: checksums that are not known yet count with all their digits.
    func fileBytes(_ key: String) -> Int {
        let checksums = Array(repeating: UInt32.max, count: PackedForm.pieceCount(end))
        return end + PackedHead(key: key, entries: entries, checksums: checksums).json().canonicalBytes().count
    }
}

/// Finds the size of a file of packed weights, without a look at the weights.
///
/// The count of a network's numbers does not tell it: some orders have gaps, and others have up to 16/9 as many numbers.
final class PackedMeasure: Sendable {
    private let layout = Mutex(PackedLayout())

    /// Bytes of tensors that are in no file, because their order has no name.
    private let others = Atomic(0)

    /// - Parameter format: nil for an order without a name.
    func add(_ name: String, format: String?, byteCount: Int) {
        guard let format else { return _ = others.wrappingAdd(byteCount, ordering: .relaxed) }
        layout.withLock { _ = $0.add(name, format: format, byteCount: byteCount) }
    }

    /// The bytes of all tensors.
    var byteCount: Int { layout.withLock { $0.end } + others.load(ordering: .relaxed) }

    /// See `PackedLayout`.
    func fileBytes(_ key: String) -> Int { layout.withLock { $0.fileBytes(key) } }
}
