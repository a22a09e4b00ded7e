internal import Messages
import Sentences
internal import ZMQSockets

extension Context {
    static func make() throws(RuntimeError) -> Context {
        do throws(ZMQError) { return try Context() } catch { throw RuntimeError(error) }
    }

    /// A socket that listens at an address (router) or connects to it (dealer).
    func openSocket(_ kind: Socket.Kind, _ address: String) throws(RuntimeError) -> Socket {
        do throws(ZMQError) {
            let endpoint = try Endpoint(parsing: address)
            let socket = try Socket(self, kind, maxFrameBytes: WireLimits.socketFrameBytes, for: endpoint)
            switch kind {
            case .router: try socket.bind(endpoint)
            case .dealer: try socket.connect(endpoint)
            }
            return socket
        } catch {
            throw RuntimeError(error)
        }
    }
}

extension RuntimeError {
    init(_ error: ZMQError) {
        switch error.code {
        case .addressInUse, .addressUnavailable: self.init(.unavailable, Sentence(error.message))
        case .invalidEndpoint: self.init(.usage, Sentence(error.message))
        case .system: self.init(.internalFault, Sentence(error.message))
        }
    }
}
