internal import CZeroMQ

/// The options of every socket. Durations are in milliseconds.
///
/// libzmq's own heartbeat stays off: its timer ends the process if a peer fills the queue and hangs up (an assertion of
/// libzmq 4.3, its issue 4364). The protocol's PINGs notice silence, and TCP's limit on resending notices a dead connection.
public struct SocketOptions: Sendable, Equatable {
    /// The largest number of messages (not bytes) in a peer's queue. It is only a backstop: credit limits the traffic.
    public var highWaterMark: Int32 = 16
    /// The largest single frame from a peer, in bytes. libzmq drops a connection that sends more.
    public var maxFrameBytes: Int64
    /// The longest handshake of a connection before it is closed.
    public var handshakeInterval: Int32 = 5000
    /// The waits between attempts to connect: the first, and the longest.
    public var reconnectInterval: Int32 = 500
    public var reconnectIntervalMax: Int32 = 15000
    public var connectTimeout: Int32 = 5000
    /// How long TCP sends again before it gives a connection up.
    public var tcpMaxRetransmit: Int32 = 15000
    public var keepaliveIdleSeconds: Int32 = 30
    public var keepaliveIntervalSeconds: Int32 = 10
    public var keepaliveCount: Int32 = 3
    public var backlog: Int32 = 512

    /// - Parameter maxFrameBytes: the largest payload, with room for the bytes that encryption adds.
    public init(maxFrameBytes: Int64) { self.maxFrameBytes = maxFrameBytes }

    /// The names, numbers and values of the integer options for one kind of socket.
    func integers(for kind: Socket.Kind, usesIPv6: Bool) -> [(name: String, option: Int32, value: Int32)] {
        var options: [(String, Int32, Int32)] = [
            ("ZMQ_LINGER", ZMQ_LINGER, 0),
            ("ZMQ_SNDHWM", ZMQ_SNDHWM, highWaterMark),
            ("ZMQ_RCVHWM", ZMQ_RCVHWM, highWaterMark),
            ("ZMQ_HANDSHAKE_IVL", ZMQ_HANDSHAKE_IVL, handshakeInterval),
            ("ZMQ_HEARTBEAT_IVL", ZMQ_HEARTBEAT_IVL, 0),
            ("ZMQ_TCP_MAXRT", ZMQ_TCP_MAXRT, tcpMaxRetransmit),
            ("ZMQ_TCP_KEEPALIVE", ZMQ_TCP_KEEPALIVE, 1),
            ("ZMQ_TCP_KEEPALIVE_IDLE", ZMQ_TCP_KEEPALIVE_IDLE, keepaliveIdleSeconds),
            ("ZMQ_TCP_KEEPALIVE_INTVL", ZMQ_TCP_KEEPALIVE_INTVL, keepaliveIntervalSeconds),
            ("ZMQ_TCP_KEEPALIVE_CNT", ZMQ_TCP_KEEPALIVE_CNT, keepaliveCount),
            ("ZMQ_IPV6", ZMQ_IPV6, usesIPv6 ? 1 : 0),
        ]
        switch kind {
        case .router:
            options += [
                // Without this a message to an unknown or full peer vanishes in silence.
                ("ZMQ_ROUTER_MANDATORY", ZMQ_ROUTER_MANDATORY, 1),
                // With this a newcomer could take over another peer's routing id, and its traffic.
                ("ZMQ_ROUTER_HANDOVER", ZMQ_ROUTER_HANDOVER, 0),
                ("ZMQ_BACKLOG", ZMQ_BACKLOG, backlog),
            ]
        case .dealer:
            options += [
                // Queues nothing for a peer that is not connected: stale heartbeats would arrive later.
                ("ZMQ_IMMEDIATE", ZMQ_IMMEDIATE, 1),
                ("ZMQ_RECONNECT_IVL", ZMQ_RECONNECT_IVL, reconnectInterval),
                ("ZMQ_RECONNECT_IVL_MAX", ZMQ_RECONNECT_IVL_MAX, reconnectIntervalMax),
                ("ZMQ_CONNECT_TIMEOUT", ZMQ_CONNECT_TIMEOUT, connectTimeout),
            ]
        }
        return options
    }
}
