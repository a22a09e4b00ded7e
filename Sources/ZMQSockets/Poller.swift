internal import CZeroMQ

/// Waits for one socket and a few plain descriptors at once.
public struct Poller: ~Copyable {
    private var items: [zmq_pollitem_t]

    /// The result of a wait.
    public struct Readiness: Sendable, Equatable {
        public var canReceive = false
        /// For each descriptor: whether it can be read, or its other end has gone.
        public var descriptors: [Bool]
    }

    /// - Parameter descriptors: file descriptors to watch beside the socket, for instance an eventfd. The caller still owns
    ///   them.
    public init(descriptors: [Int32]) {
        items = [zmq_pollitem_t(socket: nil, fd: 0, events: 0, revents: 0)]
        items += descriptors.map { zmq_pollitem_t(socket: nil, fd: $0, events: Int16(ZMQ_POLLIN), revents: 0) }
    }

    /// Waits until something is ready, but at most `milliseconds`.
    /// - Parameter toSend: whether to wake up also when the socket can take a message.
    public mutating func wait(
        for socket: borrowing Socket, toSend: Bool = false, milliseconds: Int
    ) throws(ZMQError) -> Readiness {
        items[0].socket = socket.raw
        items[0].events = Int16(toSend ? ZMQ_POLLIN | ZMQ_POLLOUT : ZMQ_POLLIN)
        let count = Int32(items.count)
        _ = try zmqCall("zmq_poll") { zmq_poll(&items, count, max(0, milliseconds)) }
        return Readiness(
            canReceive: Int32(items[0].revents) & ZMQ_POLLIN != 0, descriptors: items.dropFirst().map { $0.revents != 0 })
    }
}
