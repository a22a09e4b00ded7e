internal import CZeroMQ

/// libzmq's context: its I/O thread and the registry of its sockets. Any thread may use it.
///
/// One I/O thread moves about a Gb/s.
public final class Context: @unchecked Sendable {
    // Guard: libzmq documents contexts as thread-safe; the pointer itself never changes.
    let raw: UnsafeMutableRawPointer

    /// - Throws: `ZMQError` if the library has no descriptors or threads left.
    public init() throws(ZMQError) {
        guard let context = zmq_ctx_new() else { throw .last("zmq_ctx_new") }
        raw = context
    }

    /// Waits until every closed socket has sent as much as its linger time allows, then frees the context. Close all sockets
    /// before, do not use the context afterwards, and call this exactly once.
    public func terminate() {
        while zmq_ctx_term(raw) != 0 && zmq_errno() == EINTR {}
    }
}
