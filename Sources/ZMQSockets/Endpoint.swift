/// An address to bind or to connect to: `tcp://HOST:PORT` or `ipc://PATH` (`ipc://@NAME` is Linux's abstract namespace, which
/// leaves no file). No other transport of libzmq is accepted: Debian's build also has transports that were never hardened.
public struct Endpoint: Sendable, Hashable, CustomStringConvertible {
    /// The kind of connection, and its address.
    public enum Transport: Sendable, Hashable {
        case tcp(host: String, port: Int)
        case ipc(path: String)
    }

    public let transport: Transport

    /// The longest path of a local socket in Linux (`sun_path` less its terminator).
    static let longestPath = 107

    /// Reads an endpoint.
    /// - Throws: `ZMQError` with code `invalidEndpoint` and a sentence about the expected form.
    public init(parsing text: String) throws(ZMQError) {
        if text.hasPrefix("tcp://") {
            transport = try Endpoint.tcp(text.dropFirst("tcp://".count), whole: text)
        } else if text.hasPrefix("ipc://") {
            let path = text.dropFirst("ipc://".count)
            guard !path.isEmpty, path != "@", path.utf8.count <= Endpoint.longestPath, !path.utf8.contains(0) else {
                throw .invalidEndpoint("'\(text)' needs a path of 1 to \(Endpoint.longestPath) bytes after ipc://")
            }
            transport = .ipc(path: String(path))
        } else {
            throw .invalidEndpoint("'\(text)' is not an address; write tcp://HOST:PORT or ipc://PATH")
        }
    }

    private static func tcp(_ address: Substring, whole: String) throws(ZMQError) -> Transport {
        guard let colon = address.lastIndex(of: ":") else {
            throw .invalidEndpoint("'\(whole)' has no port; write tcp://HOST:PORT")
        }
        let host = address[..<colon]
        let digits = address[address.index(after: colon)...]
        guard digits.utf8.count <= 5, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = Int(digits),
            (1...65535).contains(port)
        else { throw .invalidEndpoint("'\(whole)' has the port '\(digits)'; a port is a number from 1 to 65535") }
        guard (1...253).contains(host.utf8.count), host.wholeMatch(of: hosts) != nil else {
            throw .invalidEndpoint("'\(whole)' has the host '\(host)'; write a name, an IPv4 address or [an IPv6 address]")
        }
        return .tcp(host: String(host), port: port)
    }

    /// Everything, an IPv6 address in brackets, a name or an IPv4 address.
    private static var hosts: Regex<Substring> {
        /\*|\[[0-9A-Za-z.%]*:[0-9A-Za-z:.%]*\]|[0-9A-Za-z._\-]+/.matchingSemantics(.unicodeScalar)
    }

    /// Whether only processes of this machine can reach the endpoint.
    public var isLocal: Bool {
        switch transport {
        case .ipc: true
        case .tcp(let host, _): host == "localhost" || host == "[::1]" || host.hasPrefix("127.")
        }
    }

    var usesIPv6: Bool {
        guard case .tcp(let host, _) = transport else { return false }
        return host.hasPrefix("[")
    }

    public var description: String {
        switch transport {
        case .tcp(let host, let port): "tcp://\(host):\(port)"
        case .ipc(let path): "ipc://\(path)"
        }
    }

    /// The text for libzmq's bind. It takes addresses and interface names, but not the name `localhost`.
    var bindText: String {
        guard case .tcp("localhost", let port) = transport else { return description }
        return "tcp://127.0.0.1:\(port)"
    }
}
