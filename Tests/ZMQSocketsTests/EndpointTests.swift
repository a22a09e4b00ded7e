import Testing
import ZMQSockets

@Suite("Endpoints")
struct EndpointTests {
    @Test(
        "what is an address",
        arguments: [
            "tcp://127.0.0.1:5570", "tcp://*:1", "tcp://render-01.farm:65535", "tcp://[::1]:5570", "ipc:///tmp/x.sock",
            "ipc://@name",
        ])
    func accepted(_ text: String) throws {
        #expect(try Endpoint(parsing: text).description == text)
    }

    @Test(
        "what is not",
        arguments: [
            "", "127.0.0.1:5570", "http://a:1", "inproc://a", "pgm://a:1", "tcp://", "tcp://a", "tcp://a:", "tcp://a:0",
            "tcp://a:65536",
            "tcp://a:+80", "tcp://a:8 0", "tcp://:5570", "tcp://a b:1", "tcp://a;b:1", "tcp://[]:1",
            "tcp://a:99999999999999999999",
            "ipc://", "ipc://@", "ipc://" + String(repeating: "x", count: 108),
        ])
    func refused(_ text: String) throws {
        let error = #expect(throws: ZMQError.self) { try Endpoint(parsing: text) }
        #expect(error?.code == .invalidEndpoint)
    }

    @Test("which addresses stay on this machine")
    func local() throws {
        #expect(try Endpoint(parsing: "tcp://127.0.0.1:1").isLocal)
        #expect(try Endpoint(parsing: "tcp://localhost:1").isLocal)
        #expect(try Endpoint(parsing: "ipc://@x").isLocal)
        #expect(try !Endpoint(parsing: "tcp://*:1").isLocal)
        #expect(try !Endpoint(parsing: "tcp://10.0.0.1:1").isLocal)
    }
}
