internal import CZeroMQ

extension Socket.Kind {
    /// The names, numbers and values of the integer options. Durations are in milliseconds.
    ///
    /// libzmq's own heartbeat stays off: its timer ends the process if a peer fills the queue and hangs up (an assertion of
    /// libzmq 4.3, its issue 4364). The protocol's PINGs notice silence, and TCP's limit on
    /// resending notices a dead connection.
    func options(usesIPv6: Bool) -> [(name: String, option: Int32, value: Int32)] {
        let common: [(String, Int32, Int32)] = [
            // Only an orderly end asks for more. It is not 0: without this time libzmq 4.3 ends the process if a socket closes
            // in the middle of a message of several frames, and the peer hangs up just then (an assertion, its issue 3442).
            // With this time the peer would have to hang up in the very moment when it ends. `Context.terminate` may wait as
            // long.
            ("ZMQ_LINGER", ZMQ_LINGER, 20),
            // The most messages, not bytes, in a peer's queue. This is only a backstop: credit limits the traffic.
            ("ZMQ_SNDHWM", ZMQ_SNDHWM, 16),
            ("ZMQ_RCVHWM", ZMQ_RCVHWM, 16),
            ("ZMQ_HANDSHAKE_IVL", ZMQ_HANDSHAKE_IVL, 5000),
            ("ZMQ_HEARTBEAT_IVL", ZMQ_HEARTBEAT_IVL, 0),
            // The time that TCP sends again before it gives a connection up.
            ("ZMQ_TCP_MAXRT", ZMQ_TCP_MAXRT, 15_000),
            ("ZMQ_TCP_KEEPALIVE", ZMQ_TCP_KEEPALIVE, 1),
            // These two are in seconds.
            ("ZMQ_TCP_KEEPALIVE_IDLE", ZMQ_TCP_KEEPALIVE_IDLE, 30),
            ("ZMQ_TCP_KEEPALIVE_INTVL", ZMQ_TCP_KEEPALIVE_INTVL, 10),
            ("ZMQ_TCP_KEEPALIVE_CNT", ZMQ_TCP_KEEPALIVE_CNT, 3),
            ("ZMQ_IPV6", ZMQ_IPV6, usesIPv6 ? 1 : 0),
        ]
        switch self {
        case .router:
            return common + [
                // Without this a message to an unknown or full peer vanishes in silence.
                ("ZMQ_ROUTER_MANDATORY", ZMQ_ROUTER_MANDATORY, 1),
                // With this a newcomer could take over another peer's routing id, and its traffic.
                ("ZMQ_ROUTER_HANDOVER", ZMQ_ROUTER_HANDOVER, 0),
                ("ZMQ_BACKLOG", ZMQ_BACKLOG, 512),
            ]
        case .dealer:
            return common + [
                // Queues nothing for a peer that is not connected: stale heartbeats would arrive later.
                ("ZMQ_IMMEDIATE", ZMQ_IMMEDIATE, 1),
                // The waits between attempts to connect: the first, and the longest.
                ("ZMQ_RECONNECT_IVL", ZMQ_RECONNECT_IVL, 500),
                ("ZMQ_RECONNECT_IVL_MAX", ZMQ_RECONNECT_IVL_MAX, 15_000),
                ("ZMQ_CONNECT_TIMEOUT", ZMQ_CONNECT_TIMEOUT, 5000),
            ]
        }
    }
}
