internal import CZeroMQ
internal import Glibc

/// A call of libzmq failed, or the text of an endpoint was refused.
public struct ZMQError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Another process holds the address.
        case addressInUse
        /// The address does not belong to this machine, or binding it is not allowed.
        case addressUnavailable
        /// The text is no endpoint that this program accepts.
        case invalidEndpoint
        /// Anything else. The message names the call and the error number.
        case system
    }

    public let code: Code
    /// One sentence for people.
    public let message: String

    public var description: String { message }

    static func invalidEndpoint(_ message: String) -> ZMQError {
        ZMQError(code: .invalidEndpoint, message: message)
    }

    /// The error of the call that has just failed on this thread. Must run before any other call of libzmq.
    static func last(_ call: String, _ subject: String = "") -> ZMQError {
        let number = zmq_errno()
        let code: Code =
            switch number {
            case EADDRINUSE: .addressInUse
            case EADDRNOTAVAIL, ENODEV, EACCES: .addressUnavailable
            default: .system
            }
        let reason = String(cString: zmq_strerror(number))
        let place = subject.isEmpty ? "" : " for \(subject)"
        let message =
            switch code {
            case .addressInUse: "\(subject) is in use by another process; choose another port or stop that process"
            case .addressUnavailable: "\(subject) cannot be bound here (\(reason)); use an address of this machine"
            default: "\(call)\(place) failed: \(reason) (errno \(number))"
            }
        return ZMQError(code: code, message: message)
    }
}

/// The single way to call libzmq. It repeats a call that a signal interrupted, returns nil if the call would have to wait,
/// and throws everything else with the call's name and error number.
func zmqCall(_ name: String, _ subject: String = "", _ body: () -> Int32) throws(ZMQError) -> Int32? {
    while true {
        let result = body()
        if result >= 0 { return result }
        switch zmq_errno() {
        case EINTR: continue
        case EAGAIN: return nil
        default: throw ZMQError.last(name, subject)
        }
    }
}
