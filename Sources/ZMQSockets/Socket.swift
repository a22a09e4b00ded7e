internal import CZeroMQ
internal import Glibc

/// A ZeroMQ socket. One thread makes, uses and closes it, and the type can be neither copied nor sent to another. No call
/// ever waits.
public struct Socket: ~Copyable {
    /// The two ends of the protocol: the coordinator is a router, workers and clients are dealers.
    public enum Kind: Sendable {
        case router, dealer

        var number: Int32 { self == .router ? ZMQ_ROUTER : ZMQ_DEALER }
    }

    /// The result of an attempt to send a message.
    public enum Delivery: Sendable, Equatable {
        /// The message is in the queue of a living connection.
        case queued
        /// The queue is full, or (dealer) there is no connection.
        case wouldBlock
        /// (router) No connection has this routing id any more.
        case unreachable
    }

    /// A message that has arrived.
    public struct Received: Sendable {
        /// The frames that were kept, in order.
        public var frames: [[UInt8]]
        /// The number of frames of the message. It is more than `frames.count` if there were too many.
        public var frameCount: Int
    }

    let raw: UnsafeMutableRawPointer

    /// - Parameter maxFrameBytes: the largest single frame from a peer. libzmq drops a connection that sends more.
    /// - Throws: `ZMQError` if an option cannot be set or no descriptor is left.
    public init(_ context: Context, _ kind: Kind, maxFrameBytes: Int64, for endpoint: Endpoint) throws(ZMQError) {
        guard let socket = zmq_socket(context.raw, kind.number) else { throw .last("zmq_socket") }
        do throws(ZMQError) {
            for option in kind.options(usesIPv6: endpoint.usesIPv6) {
                try Socket.set(socket, option.name, option.option, option.value)
            }
            try Socket.set(socket, "ZMQ_MAXMSGSIZE", ZMQ_MAXMSGSIZE, maxFrameBytes)
        } catch {
            zmq_close(socket)
            throw error
        }
        raw = socket
    }

    deinit { zmq_close(raw) }

    private static func set<Value: BitwiseCopyable>(
        _ socket: UnsafeMutableRawPointer, _ name: String, _ option: Int32, _ value: Value
    ) throws(ZMQError) {
        var value = value
        _ = try zmqCall("zmq_setsockopt", name) { zmq_setsockopt(socket, option, &value, MemoryLayout<Value>.size) }
    }

    /// Listens on `endpoint`.
    /// - Throws: `ZMQError`, with code `addressInUse` if another process has the endpoint, and `addressUnavailable` if the
    ///   path of a local socket names a file that is no socket.
    public borrowing func bind(_ endpoint: Endpoint) throws(ZMQError) {
        // libzmq would unlink the file, whatever it is, and take the name away from a process that answers there.
        if case .ipc(let path) = endpoint.transport, !path.hasPrefix("@") {
            if LocalSocketProbe.isOtherFile(path) {
                throw ZMQError(
                    code: .addressUnavailable,
                    message: "\(endpoint) cannot be bound: a file that is no socket has this path; choose another path")
            }
            if LocalSocketProbe.isAnswered(path) {
                throw ZMQError(
                    code: .addressInUse,
                    message: "\(endpoint) is in use by another process; choose another path or stop that process")
            }
        }
        _ = try zmqCall("zmq_bind", endpoint.description) { zmq_bind(raw, endpoint.bindText) }
    }

    /// Connects in the background, and tries again while the peer is not there.
    /// - Throws: `ZMQError`, with code `invalidEndpoint` for the host `*`. Only a listener can have it.
    public borrowing func connect(_ endpoint: Endpoint) throws(ZMQError) {
        if case .tcp("*", let port) = endpoint.transport {
            throw .invalidEndpoint("'\(endpoint)' is an address to listen on; to connect, write tcp://HOST:\(port)")
        }
        _ = try zmqCall("zmq_connect", endpoint.description) { zmq_connect(raw, endpoint.description) }
    }

    /// Sets the time that closing may still send queued messages, in milliseconds. It is short from the start; only an orderly
    /// end asks for more.
    public borrowing func setLinger(milliseconds: Int32) throws(ZMQError) {
        try Socket.set(raw, "ZMQ_LINGER", ZMQ_LINGER, milliseconds)
    }

    /// Sends one message of one or more frames, either whole or not at all.
    public borrowing func send(_ frames: [[UInt8]]) throws(ZMQError) -> Delivery {
        let delivery = try sendOnce(frames)
        guard delivery == .wouldBlock else { return delivery }
        // The peer may have read from a full queue since the last look. While it sends without waiting, libzmq looks for that
        // at most every three million clock ticks. A fast peer reads a queue in less time. A question for events makes libzmq
        // look.
        try takeNotice()
        return try sendOnce(frames)
    }

    /// Makes libzmq handle the messages from its I/O threads to this socket.
    private borrowing func takeNotice() throws(ZMQError) {
        var events: Int32 = 0
        var size = MemoryLayout<Int32>.size
        _ = try zmqCall("zmq_getsockopt", "ZMQ_EVENTS") { zmq_getsockopt(raw, ZMQ_EVENTS, &events, &size) }
    }

    private borrowing func sendOnce(_ frames: [[UInt8]]) throws(ZMQError) -> Delivery {
        precondition(!frames.isEmpty, "a message has at least one frame")
        for (index, frame) in frames.enumerated() {
            let flags = ZMQ_DONTWAIT | (index + 1 < frames.count ? ZMQ_SNDMORE : 0)
            let sent = frame.withUnsafeBytes { bytes -> Int32 in
                while true {
                    let result = zmq_send(raw, bytes.baseAddress, bytes.count, flags)
                    if result >= 0 || zmq_errno() != EINTR { return result }
                }
            }
            if sent >= 0 { continue }
            switch zmq_errno() {
            // libzmq decides on the first frame. Once it has begun to take a message, the other frames never fail like this.
            case EAGAIN where index == 0: return .wouldBlock
            case EHOSTUNREACH where index == 0: return .unreachable
            default: throw ZMQError.last("zmq_send")
            }
        }
        return .queued
    }

    /// The next message; nil if none is waiting. Frames beyond `keeping` are read, counted and dropped.
    public borrowing func receive(keeping: Int) throws(ZMQError) -> Received? {
        var message = Received(frames: [], frameCount: 0)
        var part = zmq_msg_t()
        repeat {
            zmq_msg_init(&part)
            defer { zmq_msg_close(&part) }
            let flags = ZMQ_DONTWAIT
            guard try zmqCall("zmq_msg_recv", "", { zmq_msg_recv(&part, raw, flags) }) != nil else { return nil }
            message.frameCount += 1
            if message.frames.count < keeping {
                let size = zmq_msg_size(&part)
                message.frames.append([UInt8](UnsafeRawBufferPointer(start: zmq_msg_data(&part), count: size)))
            }
            if zmq_msg_more(&part) == 0 { return message }
        } while true
    }
}

/// Asks whether a process listens on a local socket's path.
private enum LocalSocketProbe {
    /// Whether the path names something that is no socket. A link counts as such.
    static func isOtherFile(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFSOCK
    }

    static func isAnswered(_ path: String) -> Bool {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes.prefix($0.count - 1)) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
    }
}
