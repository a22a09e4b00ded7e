import Foundation
import Messages
import Sentences
import StrictJSON
import Synchronization
import TestSupport
import Testing

@testable import Runtime

@Suite("Hostile peers")
struct HostileTests {
    /// Runs a body against a farm's address away from the shared threads, then a job that must succeed.
    func onFarm(_ body: @escaping @Sendable (TestFarm) throws -> Void) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try await Blocking.run { try body(farm) }
        try farm.addWorker()
        #expect(try await farm.run([3, 4], seed: 3).last.parameters == FakeJob.expectedParameters(barriers: [3, 4], seed: 3))
    }

    @Test("wrong frames are refused, whoever sends them")
    func badFrames() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            for frames in [[[1]], [[1], [2]], [[1], [2], [3]], [[UInt8]](repeating: [0], count: 60), [[], [], []]] {
                try peer.send(frames: frames)
                guard let packet = try peer.hear(), case .refuse(let refuse) = packet.message else {
                    Issue.record("\(frames.count) frames were not refused")
                    return
                }
                #expect(refuse.code == .frame)
            }
        }
    }

    @Test("a stranger cannot flood the log")
    func flood() async throws {
        let lines = Mutex<[String]>([])
        let farm = try TestFarm { options in options.log = { line in lines.withLock { $0.append(line) } } }
        defer { farm.stop() }
        try await Blocking.run {
            let peer = try HostilePeer(farm.endpoint)
            for _ in 0..<200 {
                try peer.send(frames: [[1]])
                // One answer at a time: a full queue loses nothing, so all can be counted.
                #expect(try peer.hear() != nil)
            }
        }
        func counts() -> (told: Int, leftOut: Int) {
            let all = lines.withLock { $0 }
            let told = all.count { $0.hasPrefix("a message could not be read") }
            let others = all.filter { $0.hasSuffix("more such messages were not logged") }
            return (told, others.compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }.reduce(0, +))
        }
        for _ in 0..<100 where counts().told + counts().leftOut < 200 { try await Task.sleep(for: .milliseconds(50)) }
        #expect(counts().told + counts().leftOut == 200)
        #expect(counts().leftOut > 0)
    }

    @Test("another major version is told so, finally")
    func wrongVersion() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            var frames = try Packet(.ping).frames()
            frames[0][4] = 9
            try peer.send(frames: frames)
            guard let packet = try peer.hear(), case .refuse(let refuse) = packet.message else {
                Issue.record("version 9 was not refused")
                return
            }
            #expect(refuse.code == .version && refuse.code.isFinal)
        }
    }

    @Test("whoever speaks before HELLO is asked to say it")
    func noHello() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            try peer.say(.ping, session: 77, epoch: 5)
            #expect(try peer.hear()?.message == .reset)
        }
    }

    @Test("an oversized frame cuts its connection, and nothing else")
    func oversized() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            try peer.send(frames: [[UInt8](repeating: 0, count: Int(WireLimits.socketFrameBytes) + 1), [], []])
        }
    }

    @Test("a session that breaks the protocol again and again is ended")
    func strikes() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            for _ in 0..<10 { try peer.say(.ping, session: peer.session &+ 1) }
            guard let packet = try peer.hear(.bye), case .bye(let bye) = packet.message else {
                Issue.record("no BYE came")
                return
            }
            #expect(bye.reason == .strikes)
        }
    }

    /// The second HELLO of a worker that waited long for its WELCOME ends the session of the first.
    @Test("messages of the session before another HELLO are late and do not count as violations")
    func lateMessages() async throws {
        try await onFarm { farm in
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            let first = peer.session
            try peer.join()
            #expect(peer.session != first)
            for _ in 0..<30 { try peer.say(.ping, session: first) }
            try peer.say(.ping)
            // This is the first answer: late messages got no PONG and no BYE.
            var answers: [MessageType] = []
            while answers.last != .pong, let packet = try peer.hear() {
                if packet.message.type != .ping { answers.append(packet.message.type) }
            }
            #expect(answers == [.pong])
            // A session that this connection never had is still a violation.
            for _ in 0..<10 { try peer.say(.ping, session: peer.session &+ 1) }
            #expect(try peer.hear(.bye) != nil)
        }
    }

    @Test("a result counts once, however often it is sent; a stranger's claim to a lease does not count")
    func duplicatesAndForgery() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [2, 1], seed: 12))
        try await Blocking.run {
            let owner = try HostilePeer(farm.endpoint)
            try owner.join()
            try owner.open()
            guard let first = try owner.hear(.lease), let answer = HostilePeer.answer(first) else {
                Issue.record("no LEASE came")
                return
            }
            let thief = try HostilePeer(farm.endpoint)
            try thief.join()
            guard case .result(var forged) = answer else {
                Issue.record("the answer to a LEASE is a RESULT")
                return
            }
            forged.output.payload[0] ^= 1
            try thief.say(.result(forged), lease: first.address.lease)
            #expect(try thief.hear(.resultAck, milliseconds: 300) == nil)
            thief.vanish()

            let expected: [ResultVerdict] = [.accepted, .duplicate, .duplicate]
            for verdict in expected {
                try owner.say(answer, lease: first.address.lease)
                #expect(try owner.verdicts() == [.init(lease: first.address.lease, verdict: verdict)])
            }
            // A divergent duplicate changes nothing either.
            try owner.say(.result(forged), lease: first.address.lease)
            #expect(try owner.verdicts().map(\.verdict) == [.duplicate])
            try owner.say(answer, lease: 3)
            #expect(try owner.verdicts().map(\.verdict) == [.stale])
            owner.vanish()
        }
        try farm.addWorker()
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [2, 1], seed: 12))
    }

    @Test("times no clock can show break no sum")
    func endlessTimes() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [3, 2], seed: 12))
        async let outcome = TestFarm.follow(job)
        try await Blocking.run {
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            var answered: Set<UInt64> = []
            while answered.count < 5, let packet = try peer.hear() {
                switch packet.message {
                case .ping: try peer.say(.pong)
                case .jobOpen(let open): try peer.say(.jobReady(ContextNote(open.context)))
                case .lease:
                    guard case .result(var result) = HostilePeer.answer(packet) else { continue }
                    result.computeMicroseconds = Int.max
                    // Up and down, so that every second step is as wide as numbers go.
                    result.wireMicroseconds = answered.count % 2 == 0 ? Int.max : 0
                    try peer.say(.result(result), lease: packet.address.lease)
                    answered.insert(packet.address.lease)
                default: continue
                }
            }
            #expect(answered.count == 5)
            _ = try peer.hear(.resultAck, milliseconds: 500)
        }
        let last = await outcome.last
        #expect(last.parameters == FakeJob.expectedParameters(barriers: [3, 2], seed: 12))
    }

    @Test("a worker that vanishes, and one that falls silent, lose their tasks to others", arguments: [true, false])
    func vanishing(_ closesConnection: Bool) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [3], seed: 12))
        let peer = try await Blocking.run { () throws -> SendablePeer in
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            try peer.open()
            #expect(try peer.hear(.lease) != nil)
            if closesConnection { peer.vanish() }
            return SendablePeer(peer)
        }
        try farm.addWorker()
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [3], seed: 12))
        _ = peer
    }

    @Test("a lease that is never confirmed goes to another worker, though its holder lives")
    func unconfirmed() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [2], seed: 12))
        async let hostile: Bool = Blocking.run {
            let peer = try HostilePeer(farm.endpoint)
            try peer.join()
            try peer.open()
            // Answers every PING, and nothing else. In the end the coordinator recalls its leases.
            return try peer.hear(.recall, milliseconds: 4000) != nil
        }
        try await Task.sleep(for: .milliseconds(300))
        try farm.addWorker()
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [2], seed: 12))
        #expect(try await hostile)
    }

    /// Half of the messages keep their old checksums, half get honest ones. A session that the coordinator ends joins again.
    @Test("damaged messages of workers and clients leave the coordinator standing", arguments: 0..<4)
    func fuzz(_ seed: UInt64) async throws {
        try await onFarm { farm in
            var random = SeededGenerator(seed: seed)
            let peer = try HostilePeer(farm.endpoint)
            let asWorker = seed % 2 == 0
            try peer.join(asWorker: asWorker)
            var (depths, ends) = ([FrameDamage.Depth: Int](), 0)
            for round in 0..<300 {
                let address = Header.Address(epoch: peer.epoch, session: peer.session)
                let frames = try Packet(Self.fuzzed[round % Self.fuzzed.count], address).frames()
                // Epoch and session mostly stay: the coordinator does not read a stranger's messages further.
                let damaged =
                    round % 2 == 0
                    ? FrameDamage.broken(frames, using: &random)
                    : FrameDamage.resealed(frames, headerFields: round % 20 == 1 ? 5..<128 : 48..<128, using: &random)
                depths[FrameDamage.depth(damaged).depth, default: 0] += 1
                try peer.send(frames: damaged)
                while let answer = try peer.hear(milliseconds: 1) {
                    guard [.bye, .reset].contains(answer.message.type) else { continue }
                    ends += 1
                    try peer.join(asWorker: asWorker)
                }
            }
            #expect(depths[.atTheSeal, default: 0] > 60 && depths[.behindTheSeal, default: 0] > 20, "\(depths)")
            #expect(depths[.read, default: 0] > 30, "\(depths)")
            #expect(ends > 5, "the coordinator ended \(ends) sessions")
        }
    }

    /// Good messages of workers and clients, before the damage.
    private static let fuzzed: [Message] = [
        .ping, .pong, .credit(Credit(leases: 2, bytes: 0)), .accept(LeaseList([1, 2])), .cancelled(LeaseList([3])),
        .drain(Drain(deadlineMilliseconds: 1)), .progress(Progress(done: 1, total: 2)),
        .jobReady(ContextNote(FakeJob.modelIdentity)), .needJob(ContextNote(FakeJob.modelIdentity)),
        .fail(Failure(.worker, "no such model", context: FakeJob.modelIdentity)),
        .result(
            TaskResult(
                computeMicroseconds: 1, wireMicroseconds: 1,
                output: EncodedPart(metadata: ["index": 0], payload: FakeJob.bytes(7)))),
        .submit(Submit(request: EncodedPart(metadata: ["barriers": [1]]), model: nil)),
        .submit(Submit(request: EncodedPart(metadata: ["barriers": [2, 1], "seed": 5]), model: nil)),
        .jobCancel, .submitted(Submitted(position: 1)), .bye(Bye(.drained)),
    ]
}

/// Carries a peer out of the thread that used it; nobody uses it afterwards.
final class SendablePeer: @unchecked Sendable {
    // Guard: only its deinit touches the peer, after every other use.
    private let peer: HostilePeer

    init(_ peer: HostilePeer) { self.peer = peer }
}
