import Foundation
import Messages
import Sentences
import StrictJSON
import Synchronization
import TestSupport
import Testing
import ZMQSockets

@testable import Runtime

@Suite("Clients")
struct ClientTests {
    func order(_ endpoint: String, _ barriers: [Int], seed: Int = 5) -> SubmitClient.Order {
        SubmitClient.Order(
            coordinator: endpoint,
            request: EncodedPart(
                metadata: ["barriers": .array(barriers.map { .integer(Int64($0)) }), "seed": .integer(Int64(seed))], payload: []
            ))
    }

    func submit(_ order: SubmitClient.Order, isCancelled: @escaping @Sendable () -> Bool = { false }) async throws
        -> RenderResult
    {
        try await Blocking.run { () throws(RuntimeError) -> RenderResult in
            try SubmitClient.run(order, onEvent: { _ in }, isCancelled: isCancelled)
        }
    }

    @Test("a picture comes back over the wire, over TCP too", arguments: [false, true])
    func picture(_ tcp: Bool) async throws {
        let endpoint = tcp ? "tcp://127.0.0.1:\(try TestFarm.freePort())" : TestFarm.uniqueEndpoint()
        let farm = try TestFarm(endpoint: endpoint)
        defer { farm.stop() }
        try farm.addWorker()
        let result = try await submit(order(endpoint, [3, 4]))
        #expect(result.parameters == FakeJob.expectedParameters(barriers: [3, 4], seed: 5))
        #expect(result.timings.phases.map(\.tasks) == [3, 4])
    }

    @Test("no coordinator is one clear sentence")
    func nobodyThere() async throws {
        var order = order(TestFarm.uniqueEndpoint(), [1])
        order.connectTimeout = .milliseconds(300)
        let nowhere = order
        let error = await #expect(throws: RuntimeError.self) { try await submit(nowhere) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.hasPrefix("No coordinator answers at \(order.coordinator)") == true)
    }

    /// A coordinator that was busy reads two HELLOs at once, answers both, and knows only the second session.
    @Test("a job reaches a coordinator that was slow to answer")
    func twoWelcomes() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let order = order(endpoint, [1])
        // The coordinator stays until the client has its answers, however busy the machine is.
        let isOpen = Mutex(false)
        let hasEnded = Mutex(false)
        async let sessions = Blocking.run { () throws -> [UInt64] in
            let context = try Context()
            defer { context.terminate() }
            let socket = try context.openSocket(.router, endpoint)
            isOpen.withLock { $0 = true }
            return try Self.slowCoordinator(socket) { hasEnded.withLock { $0 } }
        }
        while !isOpen.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(5)) }
        let outcome = await Result(catchingAsync: { try await submit(order) })
        hasEnded.withLock { $0 = true }
        #expect(try await sessions == [1, 2])
        guard case .failure(let error as RuntimeError) = outcome else {
            Issue.record("the client got a picture")
            return
        }
        #expect(error.message == "the job came: --vae-tile-size")
    }

    /// Welcomes two HELLOs together, and answers the SUBMIT of the second session.
    ///
    /// - Returns: the sessions of all SUBMITs.
    private static func slowCoordinator(_ socket: borrowing Socket, until hasEnded: () -> Bool) throws -> [UInt64] {
        var poller = Poller(descriptors: [])
        let end = ContinuousClock.now + .seconds(20)
        var (greetings, submissions): (UInt64, [UInt64]) = (0, [])
        while ContinuousClock.now < end, !hasEnded() {
            _ = try poller.wait(for: socket, milliseconds: 20)
            while let received = try socket.receive(keeping: WireLimits.frameCount + 2) {
                let route = received.frames[0]
                let packet = try Packet(frames: Array(received.frames.dropFirst()), frameCount: received.frameCount - 1)
                func answer(_ message: Message, session: UInt64) throws {
                    var address = Header.Address(epoch: 1, session: session)
                    address.job = packet.address.job
                    _ = try socket.send([route] + Packet(message, address).frames())
                }
                switch packet.message {
                case .hello:
                    greetings += 1
                    guard greetings == 2 else { continue }
                    let welcome = Welcome(
                        minor: Int(Header.minorVersion), heartbeat: 2000, silence: 10_000, lease: 30_000, progress: 1000,
                        acceptDelay: 5, resend: 1000, keep: [])
                    for session in 1...greetings { try answer(.welcome(welcome), session: session) }
                case .submit:
                    submissions.append(packet.address.session)
                    guard packet.address.session == 2 else { continue }
                    try answer(.submitted(Submitted(position: 0)), session: 2)
                    try answer(
                        .jobEvent(.failed(exitCode: 65, sentence: "the job came: \(Setting("vae_tile_size"))")), session: 2)
                default: break
                }
            }
        }
        return submissions
    }

    @Test("an address that is none is refused")
    func badAddress() async throws {
        let nowhere = order("localhost:5570", [1])
        let error = await #expect(throws: RuntimeError.self) { try await submit(nowhere) }
        #expect(error?.code == .usage)
    }

    @Test("a coordinator that ends in the middle of a job is an error of the client")
    func coordinatorEnds() async throws {
        let farm = try TestFarm()
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 20))
        let order = order(farm.endpoint, [16_000])
        async let outcome = Result(catchingAsync: { try await submit(order) })
        try await Task.sleep(for: .milliseconds(400))
        farm.stop()
        guard case .failure(let error as RuntimeError) = await outcome else {
            Issue.record("the client got a picture")
            return
        }
        #expect(error.code == .unavailable)
    }

    @Test("a client can cancel, and one that vanishes cancels by that")
    func cancel() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 20))
        let order = order(farm.endpoint, [16_000])
        let isCancelled = Atomic(false)
        let flag = { @Sendable in isCancelled.load(ordering: .relaxed) }
        async let outcome = Result(catchingAsync: { try await submit(order, isCancelled: flag) })
        try await Task.sleep(for: .milliseconds(300))
        isCancelled.store(true, ordering: .relaxed)
        guard case .failure(let error as RuntimeError) = await outcome else {
            Issue.record("the client got a picture")
            return
        }
        #expect(error.code == .cancelled)
        // The farm is free again at once.
        #expect(try await farm.run([2], seed: 4).last.parameters == FakeJob.expectedParameters(barriers: [2], seed: 4))
    }

    @Test("clients that hang up right after their submission take nothing from the farm")
    func hangUp() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker()
        let endpoint = farm.endpoint
        try await Blocking.run {
            // The connection ends before, while and after the coordinator answers.
            for round: UInt32 in 0..<40 {
                let peer = try HostilePeer(endpoint)
                try peer.join(asWorker: false)
                try peer.say(
                    .submit(Submit(request: EncodedPart(metadata: ["barriers": [500], "seed": 1], payload: []), model: nil)))
                usleep(round % 10 * 100)
                peer.vanish()
            }
        }
        #expect(
            try await submit(order(endpoint, [3], seed: 6)).parameters == FakeJob.expectedParameters(barriers: [3], seed: 6))
        // Nothing is kept of jobs that ended, not even of jobs that ended before they began.
        for _ in 0..<500 where farm.engines.alive > 0 { try await Task.sleep(for: .milliseconds(10)) }
        #expect(farm.engines.made > 0 && farm.engines.alive == 0, "\(farm.engines.alive) of \(farm.engines.made)")
    }

    @Test("a request that cannot be done is refused with its reason")
    func badRequest() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let bad = SubmitClient.Order(coordinator: farm.endpoint, request: EncodedPart(metadata: ["seed": 1], payload: []))
        let error = await #expect(throws: RuntimeError.self) { try await submit(bad) }
        #expect(error == RuntimeError(.usage, "The request has no barriers."))
    }

    @Test("a client without the token is refused")
    func token() async throws {
        let farm = try TestFarm(joinToken: "secret")
        defer { farm.stop() }
        try farm.addWorker(joinToken: "secret")
        var order = order(farm.endpoint, [1])
        let without = order
        let error = await #expect(throws: RuntimeError.self) { try await submit(without) }
        #expect(error?.code == .refused)
        order.joinToken = "secret"
        #expect(try await submit(order).parameters == FakeJob.expectedParameters(barriers: [1], seed: 5))
    }
}

extension Result where Failure == any Error {
    /// The result or error of an async call.
    init(catchingAsync body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
