/// Working memory of each thread of a pool, 64-byte aligned, grown on demand and kept.
final class ThreadScratch {
    private var buffers: [TensorStorage]
    /// Buffers that came from the system since the first ones.
    private(set) var allocations = 0

    init(threads: Int) { buffers = (0..<threads).map { _ in TensorStorage(byteCount: 64) } }

    /// Makes room for as many bytes in each thread's buffer. Call it before the threads run.
    func reserve(bytes: Int) {
        guard bytes > buffers[0].byteCapacity else { return }
        buffers = buffers.map { _ in TensorStorage(byteCount: bytes) }
        allocations += buffers.count
    }

    func buffer(_ thread: Int) -> UnsafeMutableRawPointer { buffers[thread].base }
}
