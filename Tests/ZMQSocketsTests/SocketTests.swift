import Foundation
import Testing
import ZMQSockets

@Suite("Sockets")
struct SocketTests {
    let maxFrameBytes: Int64 = 1 << 20

    static func endpoint() throws -> Endpoint { try Endpoint(parsing: "ipc://@patchloom-test-\(UUID().uuidString)") }

    /// Waits for a message on a socket, at most five seconds.
    func next(_ socket: borrowing Socket) throws -> Socket.Received? {
        var poller = Poller(descriptors: [])
        for _ in 0..<50 {
            if let message = try socket.receive(keeping: 5) { return message }
            _ = try poller.wait(for: socket, milliseconds: 100)
        }
        return nil
    }

    func send(_ frames: [[UInt8]], on socket: borrowing Socket) throws -> Socket.Delivery {
        var poller = Poller(descriptors: [])
        for _ in 0..<50 {
            let delivery = try socket.send(frames)
            if delivery != .wouldBlock { return delivery }
            _ = try poller.wait(for: socket, toSend: true, milliseconds: 100)
        }
        return .wouldBlock
    }

    @Test("frames go from dealer to router and back")
    func roundTrip() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            try dealer.connect(endpoint)
            #expect(try send([[1], [], [2, 3]], on: dealer) == .queued)
            let received = try #require(try next(router))
            #expect(received.frameCount == 4)
            #expect(Array(received.frames.dropFirst()) == [[1], [], [2, 3]])
            #expect(try router.send([received.frames[0], [9]]) == .queued)
            #expect(try next(dealer)?.frames == [[9]])
        }
        context.terminate()
    }

    @Test("frames beyond the limit are counted and thrown away")
    func tooManyFrames() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            try dealer.connect(endpoint)
            #expect(try send([[UInt8]](repeating: [7], count: 40), on: dealer) == .queued)
            let received = try #require(try next(router))
            #expect(received.frameCount == 41)
            #expect(received.frames.count == 5)
        }
        context.terminate()
    }

    @Test("a router says that a peer is not there")
    func unreachable() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            #expect(try router.send([[0, 1, 2, 3, 4], [9]]) == .unreachable)
        }
        context.terminate()
    }

    @Test("a queue that its peer has emptied takes the next message at once, however fast the two are")
    func emptiedQueue() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            try dealer.connect(endpoint)
            #expect(try send([[1]], on: dealer) == .queued)
            let route = try #require(try next(router)).frames[0]
            // One at a time, many more than the queue can hold.
            let deliveries = try (0..<1000).map { _ in
                let delivery = try router.send([route, [9]])
                if delivery == .queued { _ = try next(dealer) }
                return delivery
            }
            #expect(deliveries.count { $0 == .queued } == 1000)
        }
        context.terminate()
    }

    /// With libzmq's own heartbeat the process ended here: its timer asserted that the closed connection could be written.
    @Test("a peer that fills the queue and hangs up does not end the process")
    func floodAndHangUp() async throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            let stranger = try Context()
            do {
                let dealer = try Socket(stranger, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
                try dealer.connect(endpoint)
                #expect(try send([[1]], on: dealer) == .queued)
                _ = try #require(try next(router))
                // Far more than both queues and the connection hold. The router's side must stop reading.
                let block = [UInt8](repeating: 7, count: 65_536)
                for _ in 0..<200 { if try dealer.send([block]) != .queued { usleep(1000) } }
            }
            stranger.terminate()
            // Longer than the interval of the heartbeats.
            usleep(2_500_000)
            var waiting = 0
            while try router.receive(keeping: 4) != nil { waiting += 1 }
            #expect(waiting > 1, "the queue did not fill")
        }
        context.terminate()
    }

    /// When sockets had no time to send the rest of a message, the process ended here: libzmq asserted that the rest was there.
    @Test("peers that close in the middle of messages do not end the process")
    func closeInTheMiddle() throws {
        let message = [[UInt8]](repeating: [UInt8](repeating: 7, count: 9000), count: 3)
        for round in 0..<200 {
            let (listening, calling) = (try Context(), try Context())
            do {
                let endpoint = try SocketTests.endpoint()
                let router = try Socket(listening, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
                try router.bind(endpoint)
                try callAndClose(calling, endpoint, message, wait: UInt32(round % 10) * 40)
            }
            // Both sockets are closed now, one just after the other.
            calling.terminate()
            listening.terminate()
        }
    }

    /// Sends messages faster than the connection takes them, and closes while some are on their way.
    private func callAndClose(
        _ context: Context, _ endpoint: Endpoint, _ message: [[UInt8]], wait: UInt32
    ) throws {
        let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
        try dealer.connect(endpoint)
        #expect(try send(message, on: dealer) == .queued)
        for _ in 0..<30 { _ = try dealer.send(message) }
        usleep(wait)
    }

    @Test("a dealer without a coordinator keeps nothing for later")
    func nothingQueued() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            try dealer.connect(endpoint)
            #expect(try dealer.send([[1]]) == .wouldBlock)
        }
        context.terminate()
    }

    @Test("an address in use is an error of its own", arguments: ["ipc-abstract", "ipc-file", "tcp"])
    func addressInUse(_ transport: String) throws {
        let context = try Context()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        do {
            let endpoint =
                switch transport {
                case "ipc-abstract": try SocketTests.endpoint()
                case "ipc-file": try Endpoint(parsing: "ipc://\(folder.path)/s")
                default: try Endpoint(parsing: "tcp://127.0.0.1:\(Int.random(in: 20_000..<32_000))")
                }
            let first = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try first.bind(endpoint)
            let second = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            let error = #expect(throws: ZMQError.self) { try second.bind(endpoint) }
            #expect(error?.code == .addressInUse)
            #expect(error?.message.contains(endpoint.description) == true)
        }
        context.terminate()
    }

    @Test("a file that is no socket survives an attempt to listen at its path", arguments: ["file", "link", "folder"])
    func fileAtPath(_ kind: String) throws {
        let context = try Context()
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.path + "/s"
        switch kind {
        case "file": try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
        case "link": try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/null")
        default: try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        }
        let before = try FileManager.default.attributesOfItem(atPath: path)
        do {
            let endpoint = try Endpoint(parsing: "ipc://\(path)")
            let socket = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            let error = #expect(throws: ZMQError.self) { try socket.bind(endpoint) }
            #expect(error?.code == .addressUnavailable)
            #expect(error?.message.contains(path) == true)
        }
        context.terminate()
        let after = try FileManager.default.attributesOfItem(atPath: path)
        #expect(before[.systemFileNumber] as? Int == after[.systemFileNumber] as? Int)
        #expect(after[.type] as? FileAttributeType == before[.type] as? FileAttributeType)
        #expect(after[.systemFileNumber] is Int)
    }

    @Test("the host * is for listening only")
    func connectToEverything() throws {
        let context = try Context()
        do {
            let endpoint = try Endpoint(parsing: "tcp://*:5570")
            let socket = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            let error = #expect(throws: ZMQError.self) { try socket.connect(endpoint) }
            #expect(error?.code == .invalidEndpoint)
            #expect(error?.message.contains("tcp://*:5570") == true)
        }
        context.terminate()
    }

    @Test("an address of another machine cannot be bound")
    func addressUnavailable() throws {
        let context = try Context()
        do {
            let endpoint = try Endpoint(parsing: "tcp://192.0.2.1:5570")
            let socket = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            let error = #expect(throws: ZMQError.self) { try socket.bind(endpoint) }
            #expect(error?.code == .addressUnavailable)
            #expect(error?.message.contains("tcp://192.0.2.1:5570") == true)
        }
        context.terminate()
    }

    @Test("an oversized frame never reaches the application")
    func oversized() throws {
        let context = try Context()
        do {
            let endpoint = try SocketTests.endpoint()
            let router = try Socket(context, .router, maxFrameBytes: maxFrameBytes, for: endpoint)
            try router.bind(endpoint)
            let dealer = try Socket(context, .dealer, maxFrameBytes: maxFrameBytes, for: endpoint)
            try dealer.connect(endpoint)
            #expect(try send([[UInt8](repeating: 0, count: 1 << 21)], on: dealer) == .queued)
            // The connection is dropped and made anew. The next message is the first that arrives.
            #expect(try send([[5]], on: dealer) == .queued)
            var message = try next(router)
            if message == nil {
                #expect(try send([[5]], on: dealer) == .queued)
                message = try next(router)
            }
            #expect(message?.frames.last == [5])
        }
        context.terminate()
    }
}
