/// The memory of activations. Freed buffers are kept for later allocations. Only the computing thread uses it.
///
/// Large buffers are parts of ranges, in which free neighbours join: a worker keeps little more memory than the network needs
/// at once. Small ones are blocks of the C library, kept by size: a tool that watches memory then sees where each of them ends.
final class BufferPool {
    /// Small buffers by capacity.
    private var small: [Int: [UnsafeMutableRawPointer]] = [:]
    private var ranges: [MemoryRange] = []
    /// The addresses that a new range reserves.
    private let rangeBytes: Int
    /// Bytes handed out and not yet given back.
    private(set) var liveBytes = 0
    /// The largest `liveBytes` so far, or since the last `forgetPeak`.
    private(set) var peakLiveBytes = 0
    /// About the most bytes that were held at once since the last `forgetPeak`: `liveBytes`, and the free bytes between them.
    private(set) var peakHeldBytes = 0
    /// Bytes of small buffers, handed out or kept.
    private var smallBytesHeld = 0
    /// Times that the system was asked for memory so far.
    private(set) var allocations = 0

    /// The largest small buffer, a power of two. Builds that watch memory have small ones only.
    #if WATCHED_MEMORY
        static let smallBytes = 1 << 62
    #else
        static let smallBytes = 256 * 1024
    #endif

    init(rangeBytes: Int = 16 << 30) { self.rangeBytes = rangeBytes }

    /// Bytes kept for later allocations.
    var idleBytes: Int {
        small.reduce(0) { $0 + $1.key * $1.value.count } + ranges.reduce(0) { $0 + $1.idleBytes }
    }

    func allocate(byteCount: Int) -> TensorStorage {
        let capacity = BufferPool.capacity(byteCount)
        liveBytes += capacity
        peakLiveBytes = max(peakLiveBytes, liveBytes)
        let base = capacity > BufferPool.smallBytes ? largeBuffer(capacity) : smallBuffer(capacity)
        peakHeldBytes = max(peakHeldBytes, heldBytes)
        return TensorStorage(base: base, byteCapacity: capacity, pool: self)
    }

    func recycle(_ base: UnsafeMutableRawPointer, byteCapacity: Int) {
        liveBytes -= byteCapacity
        guard byteCapacity > BufferPool.smallBytes else { return small[byteCapacity, default: []].append(base) }
        guard let range = ranges.first(where: { $0.contains(base) }) else { return base.deallocate() }
        range.recycle(base, byteCapacity)
    }

    private func smallBuffer(_ capacity: Int) -> UnsafeMutableRawPointer {
        if let base = small[capacity]?.popLast() { return base }
        allocations += 1
        smallBytesHeld += capacity
        return .allocate(byteCount: capacity, alignment: 64)
    }

    private func largeBuffer(_ capacity: Int) -> UnsafeMutableRawPointer {
        for range in ranges {
            guard let (base, isNew) = range.allocate(capacity) else { continue }
            if isNew { allocations += 1 }
            return base
        }
        allocations += 1
        // If not even that many addresses are left, the C library may have some.
        guard let range = MemoryRange(byteCount: rangeBytes, least: capacity), let (base, _) = range.allocate(capacity) else {
            return .allocate(byteCount: capacity, alignment: 64)
        }
        ranges.append(range)
        return base
    }

    /// Starts the peak again.
    func forgetPeak() { (peakLiveBytes, peakHeldBytes) = (liveBytes, heldBytes) }

    private var heldBytes: Int { ranges.reduce(smallBytesHeld) { $0 + $1.heldBytes } }

    /// Raises the peak to an earlier one, after a part was measured by itself.
    func raisePeak(to bytes: Int) { peakLiveBytes = max(peakLiveBytes, bytes) }

    /// Gives idle buffers back to the system.
    func trim() {
        for (capacity, buffers) in small {
            for base in buffers { base.deallocate() }
            smallBytesHeld -= capacity * buffers.count
        }
        small.removeAll()
        for range in ranges { range.trim() }
    }

    /// The bytes that a buffer takes. Small sizes are rounded up to an eighth of their power of two, so that similar
    /// allocations share buffers; large buffers have whole pages.
    static func capacity(_ byteCount: Int) -> Int {
        guard byteCount > 4096 else { return max(64, (byteCount + 63) & ~63) }
        guard byteCount <= smallBytes else { return MemoryRange.pages(byteCount) }
        let step = max(64, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 8)
        return (byteCount + step - 1) / step * step
    }

    deinit { trim() }
}
