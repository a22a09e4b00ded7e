internal import CZeroMQ

/// libzmq's context: its I/O threads and the registry of its sockets. Any thread may use it.
///
/// A program makes one and keeps it until it ends.
public final class Context: @unchecked Sendable {
    // Guard: libzmq documents contexts as thread-safe; the pointer itself never changes.
    let raw: UnsafeMutableRawPointer

    /// - Parameter ioThreads: background threads that move bytes. The rule of thumb is one for each Gb/s.
    /// - Throws: `ZMQError` if the library has no descriptors or threads left.
    public init(ioThreads: Int32 = 1) throws(ZMQError) {
        guard let context = zmq_ctx_new() else { throw .last("zmq_ctx_new") }
        guard zmq_ctx_set(context, ZMQ_IO_THREADS, ioThreads) == 0 else {
            let error = ZMQError.last("zmq_ctx_set")
            zmq_ctx_term(context)
            throw error
        }
        raw = context
    }

    /// Waits until every closed socket has sent as much as its linger time allows, then frees the context. Close all sockets
    /// before, do not use the context afterwards, and call this exactly once.
    public func terminate() {
        while zmq_ctx_term(raw) != 0 && zmq_errno() == EINTR {}
    }

}
