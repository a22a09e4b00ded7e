/// Keeps freed activation buffers for later allocations of the same size. Only the computing thread uses it.
final class BufferPool {
    private var free: [Int: [UnsafeMutableRawPointer]] = [:]
    /// Bytes handed out and not yet given back.
    private(set) var liveBytes = 0
    /// The largest `liveBytes` so far, or since the last `forgetPeak`.
    private(set) var peakLiveBytes = 0
    /// Buffers that came from the system so far.
    private(set) var allocations = 0

    /// Bytes kept for later allocations.
    var idleBytes: Int { free.reduce(0) { $0 + $1.key * $1.value.count } }

    func allocate(byteCount: Int) -> TensorStorage {
        // Sizes are rounded to an eighth of their power of two, so that similar allocations share buffers.
        let capacity = BufferPool.roundedCapacity(byteCount)
        liveBytes += capacity
        peakLiveBytes = max(peakLiveBytes, liveBytes)
        if let base = free[capacity]?.popLast() { return TensorStorage(base: base, byteCapacity: capacity, pool: self) }
        allocations += 1
        let base = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 64)
        return TensorStorage(base: base, byteCapacity: capacity, pool: self)
    }

    func recycle(_ base: UnsafeMutableRawPointer, byteCapacity: Int) {
        liveBytes -= byteCapacity
        free[byteCapacity, default: []].append(base)
    }

    /// Starts the peak again.
    func forgetPeak() { peakLiveBytes = liveBytes }

    /// Counts an earlier peak again.
    func raisePeak(to bytes: Int) { peakLiveBytes = max(peakLiveBytes, bytes) }

    /// Gives idle buffers back to the system.
    func trim() {
        for (_, buffers) in free { for base in buffers { base.deallocate() } }
        free.removeAll()
    }

    static func roundedCapacity(_ byteCount: Int) -> Int {
        guard byteCount > 4096 else { return max(64, (byteCount + 63) & ~63) }
        let step = max(64, (1 << (Int.bitWidth - 1 - byteCount.leadingZeroBitCount)) / 8)
        return (byteCount + step - 1) / step * step
    }

    deinit { trim() }
}
