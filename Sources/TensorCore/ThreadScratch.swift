/// Working memory of each thread of a pool, grown on demand and kept.
final class ThreadScratch {
    private var buffers: [UnsafeMutablePointer<Float>?]
    private var capacity = 0

    init(threads: Int) { buffers = Array(repeating: nil, count: threads) }

    /// Makes room for `floats` numbers in each thread's buffer. Call it before the threads run.
    func reserve(floats: Int) {
        guard floats > capacity else { return }
        release()
        for index in buffers.indices {
            let raw = UnsafeMutableRawPointer.allocate(byteCount: floats * 4, alignment: 64)
            buffers[index] = raw.bindMemory(to: Float.self, capacity: floats)
        }
        capacity = floats
    }

    func buffer(_ thread: Int) -> UnsafeMutablePointer<Float> { buffers[thread]! }

    private func release() {
        for index in buffers.indices {
            buffers[index].map { UnsafeMutableRawPointer($0).deallocate() }
            buffers[index] = nil
        }
    }

    deinit { release() }
}
