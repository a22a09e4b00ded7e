/// Working memory of each thread of a pool, grown on demand and kept.
final class ThreadScratch {
    private var buffers: [Tensor]

    init(threads: Int) { buffers = (0..<threads).map { _ in Tensor(uninitialized: [1]) } }

    /// Makes room for `floats` numbers in each thread's buffer. Call it before the threads run.
    func reserve(floats: Int) {
        guard floats > buffers[0].count else { return }
        buffers = buffers.map { _ in Tensor(uninitialized: [floats]) }
    }

    func buffer(_ thread: Int) -> UnsafeMutablePointer<Float> { buffers[thread].floats.baseAddress! }
}
