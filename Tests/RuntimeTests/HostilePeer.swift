import Foundation
import Messages
import StrictJSON
import TestSupport
import ZMQSockets

/// A peer that writes the messages of the protocol by hand, and wrong ones if a test wants it. Used on one thread.
final class HostilePeer {
    private let context: Context
    private var socket: Socket?
    let instance = UniqueID.random()
    var epoch: UInt64 = 0
    var session: UInt64 = 0

    init(_ text: String) throws {
        context = try Context()
        let endpoint = try Endpoint(parsing: text)
        // The peer has no limit: the other end must stop its messages.
        let socket = try Socket(context, .dealer, maxFrameBytes: -1, for: endpoint)
        try socket.connect(endpoint)
        self.socket = consume socket
    }

    /// Closes the connection without a word.
    func vanish() {
        guard socket != nil else { return }
        socket = nil
        context.terminate()
    }

    deinit { vanish() }

    func send(frames: [[UInt8]]) throws {
        var poller = Poller(descriptors: [])
        for _ in 0..<100 {
            if try socket!.send(frames) == .queued { return }
            _ = try poller.wait(for: socket!, toSend: true, milliseconds: 50)
        }
        throw MessageError(.frameCount, "nothing could be sent within five seconds")
    }

    func say(_ message: Message, lease: UInt64 = 0, session: UInt64? = nil, epoch: UInt64? = nil) throws {
        var address = Header.Address(epoch: epoch ?? self.epoch, session: session ?? self.session)
        address.lease = lease
        address.job = UniqueID(high: 1, low: 2)
        try send(frames: Packet(message, address).frames())
    }

    /// The next message; nil if none came in time.
    func hear(milliseconds: Int = 3000) throws -> Packet? {
        var poller = Poller(descriptors: [])
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        repeat {
            if let received = try socket!.receive(keeping: 4) {
                return try Packet(frames: received.frames, frameCount: received.frameCount)
            }
            _ = try poller.wait(for: socket!, milliseconds: Swift.min(20, milliseconds))
        } while ContinuousClock.now < end
        return nil
    }

    /// The next message of a type. Skips others and answers PING, because silence counts as death.
    func hear(_ type: MessageType, milliseconds: Int = 3000) throws -> Packet? {
        let end = Date(timeIntervalSinceNow: Double(milliseconds) / 1000)
        while Date() < end {
            guard let packet = try hear(milliseconds: 100) else { continue }
            if packet.message.type == type { return packet }
            if packet.message.type == .ping { try say(.pong) }
        }
        return nil
    }

    /// Joins as a worker, or as a client.
    func join(asWorker: Bool = true) throws {
        let worker =
            asWorker
            ? Hello.Worker(
                worker: .random(), slots: 1, credit: 2, numericsClass: "fake", precision: "f32",
                models: [FakeJob.modelIdentity]) : nil
        try say(.hello(Hello(build: "x", instance: instance, host: "h", name: "hostile", worker: worker)), session: 0, epoch: 0)
        guard let welcome = try hear(.welcome) else { throw MessageError(.frameCount, "no WELCOME came") }
        epoch = welcome.address.epoch
        session = welcome.address.session
    }

    /// Waits for a context and says that it is open.
    func open() throws {
        guard let packet = try hear(.jobOpen), case .jobOpen(let open) = packet.message else {
            throw MessageError(.frameCount, "no JOB_OPEN came")
        }
        try say(.jobReady(ContextNote(open.context)))
    }

    /// The entries of the next RESULT_ACK.
    func verdicts() throws -> [ResultAcks.Entry] {
        guard let packet = try hear(.resultAck), case .resultAck(let acks) = packet.message else {
            throw MessageError(.frameCount, "no RESULT_ACK came")
        }
        return acks.entries
    }

    /// The honest answer to a lease.
    static func answer(_ packet: Packet) -> Message? {
        guard case .lease(let grant) = packet.message, let value = FakeJob.number(grant.task.payload),
            let index = grant.task.metadata["index"]
        else { return nil }
        return .result(
            TaskResult(
                computeMicroseconds: 10, wireMicroseconds: 1,
                output: EncodedPart(
                    metadata: ["index": index], payload: FakeJob.bytes(FakeTasks.compute(value)) + FakeJob.padding)))
    }
}
