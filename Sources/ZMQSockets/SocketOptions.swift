internal import CZeroMQ

/// The options every socket of ours is made with. Durations are milliseconds.
///
/// libzmq's own heartbeat stays off: its timer ends the process when a peer fills the queue and hangs up (an assertion of
/// libzmq 4.3, its issue 4364). Silence is noticed by the PINGs of the protocol, a dead connection by TCP's limit on resending.
public struct SocketOptions: Sendable, Equatable {
    /// Messages (not bytes) a peer's queue may hold. A backstop: credit is what bounds traffic.
    public var highWaterMark: Int32 = 16
    /// The largest single frame taken from a peer, bytes. libzmq drops the connection that sends more.
    public var maxFrameBytes: Int64
    /// How long a connection may take over its handshake before it is closed.
    public var handshakeInterval: Int32 = 5000
    /// Waits between attempts to connect: the first, and the longest.
    public var reconnectInterval: Int32 = 500
    public var reconnectIntervalMax: Int32 = 15000
    public var connectTimeout: Int32 = 5000
    /// How long TCP keeps resending before it gives a connection up.
    public var tcpMaxRetransmit: Int32 = 15000
    public var keepaliveIdleSeconds: Int32 = 30
    public var keepaliveIntervalSeconds: Int32 = 10
    public var keepaliveCount: Int32 = 3
    public var backlog: Int32 = 512

    /// - Parameter maxFrameBytes: the largest payload, with room for what encryption adds.
    public init(maxFrameBytes: Int64) { self.maxFrameBytes = maxFrameBytes }

    /// Name, number and value of the integer options for one kind of socket.
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
                // Without it a message to an unknown or full peer vanishes in silence.
                ("ZMQ_ROUTER_MANDATORY", ZMQ_ROUTER_MANDATORY, 1),
                // With it a newcomer could take over another peer's routing id, and its traffic.
                ("ZMQ_ROUTER_HANDOVER", ZMQ_ROUTER_HANDOVER, 0),
                ("ZMQ_BACKLOG", ZMQ_BACKLOG, backlog),
            ]
        case .dealer:
            options += [
                // Queue nothing for a peer that is not connected: stale heartbeats would arrive later.
                ("ZMQ_IMMEDIATE", ZMQ_IMMEDIATE, 1),
                ("ZMQ_RECONNECT_IVL", ZMQ_RECONNECT_IVL, reconnectInterval),
                ("ZMQ_RECONNECT_IVL_MAX", ZMQ_RECONNECT_IVL_MAX, reconnectIntervalMax),
                ("ZMQ_CONNECT_TIMEOUT", ZMQ_CONNECT_TIMEOUT, connectTimeout),
            ]
        }
        return options
    }
}
