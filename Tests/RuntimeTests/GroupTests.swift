import Acceleration
import Cluster
import ContentHash
import Foundation
import Messages
import Sentences
import Synchronization
import Testing

@testable import Rendering
@testable import Runtime

@Suite("Groups of tasks")
struct GroupTests {
    // MARK: The size

    /// A task of a latent of `side` × `side` points; its cost is twice that number, for both halves of guidance.
    private static func task(side: Int, model: UInt8 = 1) -> RenderTask {
        let latent = Latent(channels: 4, height: side, width: side, values: [Float](repeating: 0, count: 4 * side * side))
        let context = JobContext(modelIdentity: .init(of: [model]), conditioning: nil)
        return RenderTask(
            phase: .detail, call: 0, index: 0, contextHash: context.hash,
            work: DenoiseWork(latent: latent, timestep: 1, guidance: 5, switches: .plain))
    }

    private static let megabyte = 1 << 20

    /// The limit after a call of `learned` tasks that took the seconds and the bytes.
    private static func limit(
        largest: Int = 8, learned: Int = 1, seconds: Double, bytes: Int, free: Int?, idle: Int = 0, workers: Int = 1,
        side: Int = 16
    ) -> Int {
        var limits = GroupLimits(largest: largest, host: GroupLimits.Host(freeBytes: { free }, workers: { workers }))
        limits.learn([RenderTask](repeating: task(side: 16), count: learned), seconds: seconds, peakBytes: bytes)
        return limits.limit(of: task(side: side), idleBytes: idle)
    }

    @Test("a worker begins with single tasks, and one that is told so stays with them")
    func first() {
        var limits = GroupLimits(largest: 8, host: GroupLimits.Host(freeBytes: { nil }))
        #expect(limits.limit(of: Self.task(side: 16), idleBytes: 0) == 1)
        #expect(Self.limit(seconds: 0.01, bytes: 1000, free: nil) == 8)
        #expect(Self.limit(largest: 1, seconds: 0.01, bytes: 1000, free: nil) == 1)
        #expect(Self.limit(largest: 3, seconds: 0.01, bytes: 1000, free: 1 << 30) == 3)
    }

    @Test("no group takes much longer than ten seconds")
    func time() {
        #expect(Self.limit(seconds: 3, bytes: 1000, free: nil) == 3)
        #expect(Self.limit(seconds: 60, bytes: 1000, free: nil) == 1)
        #expect(Self.limit(learned: 4, seconds: 8, bytes: 1000, free: nil) == 5)
        // Four times as many points take four times as long.
        #expect(Self.limit(seconds: 1, bytes: 1000, free: nil, side: 32) == 2)
    }

    @Test("a group takes its part of half of the free memory, which contains what is kept for it")
    func memory() {
        let bytes = 100 * Self.megabyte
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 600 * Self.megabyte) == 3)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 600 * Self.megabyte, idle: 4 * bytes) == 5)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 0) == 1)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: nil) == 8)
        #expect(Self.limit(learned: 2, seconds: 0.1, bytes: bytes, free: 600 * Self.megabyte) == 6)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 2000 * Self.megabyte, side: 32) == 2)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 2000 * Self.megabyte, workers: 2) == 5)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 2000 * Self.megabyte, workers: 40) == 1)
    }

    @Test("the groups of all workers together stay below half of the memory", arguments: [1, 2, 3, 8])
    func manyWorkers(count: Int) {
        let (total, bytes) = (8000 * Self.megabyte, 10 * Self.megabyte)
        var kept = [Int](repeating: 0, count: count)
        var clock = Instant(nanoseconds: 0)
        let free = Mutex(total)
        let time = Mutex(clock)
        let host = GroupLimits.Host(
            freeBytes: { free.withLock { $0 } }, workers: { count }, now: { time.withLock { $0 } })
        var limits = [GroupLimits](repeating: GroupLimits(largest: 10_000, host: host), count: count)
        for place in limits.indices { limits[place].learn([Self.task(side: 16)], seconds: 1e-9, peakBytes: bytes) }
        for round in 0..<20 {
            for place in limits.indices {
                let limit = limits[place].limit(of: Self.task(side: 16), idleBytes: kept[place])
                kept[place] = max(kept[place], limit * bytes)
            }
            // In each round all workers look at the memory before one of them takes more.
            free.withLock { $0 = total - kept.reduce(0, +) }
            clock = clock + .seconds(1)
            time.withLock { $0 = clock }
            #expect(kept.reduce(0, +) <= total / 2, "round \(round): \(kept)")
        }
        #expect(kept.reduce(0, +) > total / 4)
    }

    @Test(
        "when workers come, the groups begun from then on are smaller, and what was kept before goes with the next job",
        arguments: [2, 3, 8])
    func newWorkers(count: Int) {
        let (total, bytes) = (8000 * Self.megabyte, 10 * Self.megabyte)
        var (groups, kept) = ([Int](repeating: 0, count: count), [Int](repeating: 0, count: count))
        let free = Mutex(total)
        let time = Mutex(Instant(nanoseconds: 0))
        let workers = Mutex(1)
        let host = GroupLimits.Host(
            freeBytes: { free.withLock { $0 } }, workers: { workers.withLock { $0 } }, now: { time.withLock { $0 } })
        var limits = [GroupLimits](repeating: GroupLimits(largest: 10_000, host: host), count: count)
        for place in limits.indices { limits[place].learn([Self.task(side: 16)], seconds: 1e-9, peakBytes: bytes) }
        func computeOnce(_ present: Range<Int>) {
            workers.withLock { $0 = present.count }
            for place in present {
                groups[place] = limits[place].limit(of: Self.task(side: 16), idleBytes: kept[place]) * bytes
                kept[place] = max(kept[place], groups[place])
            }
            free.withLock { $0 = total - kept.reduce(0, +) }
            time.withLock { $0 = $0 + .seconds(1) }
        }
        computeOnce(0..<1)
        #expect(kept[0] == total / 2)
        for _ in 0..<5 {
            computeOnce(0..<count)
            #expect(groups.reduce(0, +) <= total / 2 && groups.allSatisfy { $0 > 0 }, "\(groups)")
        }
        // The first worker still has the memory of its old groups, beside the memory that the others took.
        #expect(kept[0] == total / 2 && kept.reduce(0, +) > total / 2)
        (kept[0], groups[0]) = (0, 0)
        free.withLock { $0 = total - kept.reduce(0, +) }
        for _ in 0..<5 {
            computeOnce(0..<count)
            #expect(kept.reduce(0, +) <= total / 2, "\(kept)")
        }
    }

    @Test("jobs that take turns keep what was learnt of them")
    func jobs() {
        var limits = GroupLimits(largest: 8, host: GroupLimits.Host(freeBytes: { nil }))
        func limit(_ model: Int) -> Int { limits.limit(of: Self.task(side: 16, model: UInt8(model)), idleBytes: 0) }
        for model in 1...GroupLimits.memorySize {
            #expect(limit(model) == 1)
            limits.learn([Self.task(side: 16, model: UInt8(model))], seconds: 9.5 / Double(model), peakBytes: 1000)
        }
        for model in 1...GroupLimits.memorySize { #expect(limit(model) == model) }
        // The job that was computed longest ago goes first.
        limits.learn([Self.task(side: 16, model: 1)], seconds: 9.5, peakBytes: 1000)
        limits.learn([Self.task(side: 16, model: 99)], seconds: 1, peakBytes: 1000)
        #expect(limit(1) == 1 && limit(2) == 1 && limit(3) == 3 && limit(99) == 8)
    }

    @Test("a look at the memory holds for a second")
    func looks() {
        let looks = Mutex(0)
        let time = Mutex(Instant(nanoseconds: 5))
        func look() -> Int? {
            looks.withLock { $0 += 1 }
            return 1 << 40
        }
        var limits = GroupLimits(
            largest: 8, host: GroupLimits.Host(freeBytes: look, workers: { 1 }, now: { time.withLock { $0 } }))
        limits.learn([Self.task(side: 16)], seconds: 0.001, peakBytes: 1000)
        for _ in 0..<10 { #expect(limits.limit(of: Self.task(side: 16), idleBytes: 0) == 8) }
        #expect(looks.withLock { $0 } == 1)
        time.withLock { $0 = $0 + .seconds(1) }
        _ = limits.limit(of: Self.task(side: 16), idleBytes: 0)
        #expect(looks.withLock { $0 } == 2)
    }

    @Test("the workers of a host count each other, and those that have ended do not count")
    func hostWorkers() throws {
        let prefix = Self.namePrefix()
        let first = try HostWorkers(prefix: prefix)
        #expect(first.count == 1)
        var others = try (0..<4).map { _ in try HostWorkers(prefix: prefix) }
        for _ in 0..<3 { #expect((others + [first]).allSatisfy { $0.count == 5 }) }
        // A name that is free again is taken again.
        others.remove(at: 1)
        #expect((others + [first]).allSatisfy { $0.count == 4 })
        others.append(try HostWorkers(prefix: prefix))
        #expect((others + [first]).allSatisfy { $0.count == 5 })
        others = []
        #expect(first.count == 1)
        let stranger = try HostWorkers(prefix: prefix + "x")
        #expect(stranger.count == 1 && first.count == 1)
    }

    private static func namePrefix() -> String { "patchloom-test-\(UUID().uuidString.prefix(8))-" }

    @Test("more workers than names count as many as there are names, and a worker without a name counts itself")
    func workersWithoutName() throws {
        let prefix = Self.namePrefix()
        func worker() throws -> HostWorkers { try HostWorkers(prefix: prefix, mostWorkers: 3) }
        var named = try (0..<3).map { _ in try worker() }
        let nameless = try worker()
        #expect((named + [nameless]).allSatisfy { $0.count == 3 })
        named.removeLast()
        #expect(nameless.count == 3 && named.allSatisfy { $0.count == 2 })
        named = []
        #expect(nameless.count == 1)
    }

    @Test("another process that holds names or writes to those of workers only makes groups smaller")
    func takenNames() throws {
        let prefix = Self.namePrefix()
        let other = try NameSocket()
        #expect(try other.take(prefix + "0"))
        let workers = try (0..<2).map { _ in try HostWorkers(prefix: prefix) }
        #expect(workers.allSatisfy { $0.count == 3 })
        #expect(try !NameSocket().take(prefix + "1") && !other.finds(prefix + "3") && other.finds(prefix + "1"))
        // The other one is connected to the first worker now, which takes nothing from it.
        let sent = send(other.descriptor, "x", 1, Int32(MSG_NOSIGNAL))
        let number = errno
        #expect(sent == -1 && number == EPIPE)
        // No other socket may connect to the other worker. It still holds its name.
        #expect(workers.allSatisfy { $0.count == 3 })
    }

    @Test("the kernel's words for the free memory")
    func meminfo() {
        let text = "MemTotal:       16308 kB\nMemFree:  1 kB\nMemAvailable:   1234 kB\n"
        #expect(HostMemory.availableBytes(meminfo: text) == 1234 * 1024)
        for text in ["", "MemAvailable:\n", "MemAvailable: -4 kB\n", "MemAvailable: 9223372036854775807 kB\n"] {
            #expect(HostMemory.availableBytes(meminfo: text) == nil, "\(text)")
        }
        #expect(HostMemory.availableBytes(meminfo: nil) == nil)
    }

    @Test("messages and coordinator agree on the most leases of a worker")
    func largestCredit() throws {
        #expect(WireLimits.credit == WorkerProfile.credit(slots: WireLimits.slots))
        func sent(_ leases: Int) throws -> Message {
            let frames = try Packet(.credit(Credit(leases: leases, bytes: 0)), Header.Address()).frames()
            return try Packet(frames: frames, frameCount: frames.count).message
        }
        #expect(try sent(WireLimits.credit) == .credit(Credit(leases: WireLimits.credit, bytes: 0)))
        #expect(throws: MessageError.self) { try sent(WireLimits.credit + 1) }
    }

    // MARK: On a farm

    @Test("groups and single tasks give the same result, on workers that compute either")
    func farm() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        for group in [1, 8, 3] { try farm.addWorker(FakeBehaviour(taskMilliseconds: 2), group: group) }
        let barriers = [1, 30, 9, 49, 2]
        #expect(
            try await farm.run(barriers, seed: 5).last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 5))
    }

    @Test("tasks that do not go into one call are computed in the next ones", arguments: [1, 3])
    func calls(_ callSize: Int) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        for group in [8, 2] { try farm.addWorker(FakeBehaviour(callSize: callSize), group: group) }
        let barriers = [1, 30, 9]
        #expect(
            try await farm.run(barriers, seed: 7).last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 7))
    }

    @Test("a lease tells its worker to compute a task alone after a failure, and not after it was given back")
    func alone() async throws {
        let farm = try TestFarm(parameters: ClusterParameters())
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [1], seed: 12))
        try await Blocking.run {
            func lease(_ peer: HostilePeer) throws -> (packet: Packet, grant: LeaseGrant) {
                let packet = try #require(try peer.hear(.lease))
                guard case .lease(let grant) = packet.message else { throw MessageError(.frameCount, "no LEASE came") }
                return (packet, grant)
            }
            let first = try HostilePeer(farm.endpoint)
            try first.join()
            try first.open()
            let fresh = try lease(first)
            #expect(fresh.grant.alone == nil && fresh.packet.address.attempt == 0)
            try first.say(.cancelled(LeaseList([fresh.packet.address.lease])))
            let again = try lease(first)
            #expect(again.grant.alone == nil && again.packet.address.attempt == 1)
            let second = try HostilePeer(farm.endpoint)
            try second.join()
            try second.open()
            try first.say(.fail(Failure(.worker, "no memory")), lease: again.packet.address.lease)
            let last = try lease(second)
            #expect(last.grant.alone == true && last.packet.address.attempt == 2)
            try second.say(try #require(HostilePeer.answer(last.packet)), lease: last.packet.address.lease)
            #expect(try second.verdicts().map(\.verdict) == [.accepted])
        }
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [1], seed: 12))
    }

    @Test("tasks of calls that fail are computed one by one", arguments: [2, 8])
    func failedCalls(_ group: Int) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(failsTogether: true), group: group)
        let barriers = [1, 30, 9]
        #expect(
            try await farm.run(barriers, seed: 9).last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 9))
    }

    @Test(
        "a worker that is told to end finishes one call, however many tasks wait behind it",
        arguments: [(1, false), (2, false), (8, true)])
    func drain(_ callSize: Int, failsTogether: Bool) async throws {
        let farm = try TestFarm(parameters: ClusterParameters())
        defer { farm.stop() }
        let begun = Mutex(0)
        let isReleased = Mutex(false)
        var behaviour = FakeBehaviour(callSize: callSize, failsTogether: failsTogether)
        behaviour.beforeTask = { (serial, _) throws(Failure) in
            guard serial == 1 else { return }
            begun.withLock { $0 += 1 }
            while !isReleased.withLock({ $0 }) { usleep(1000) }
        }
        let leaving = try farm.addWorker(behaviour, group: 8)
        let job = try farm.coordinator.submit(FakeJob(barriers: [1, 40], seed: 8))
        while begun.withLock({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        // The worker has a group of eight when it is told to end.
        leaving.terminate()
        try await Task.sleep(for: .milliseconds(100))
        isReleased.withLock { $0 = true }
        #expect(leaving.wait() == .drained)
        #expect(begun.withLock { $0 } == (failsTogether ? 1 : callSize))
        try farm.addWorker(group: 8)
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [1, 40], seed: 8))
    }

    @Test("a task that fails in a group is tried elsewhere, and the others count")
    func failure() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let tries = Mutex<[Int: Int]>([:])
        var behaviour = FakeBehaviour()
        behaviour.beforeTask = { (_, index) throws(Failure) in
            let count = tries.withLock { tries in
                tries[index, default: 0] += 1
                return tries[index] ?? 0
            }
            if index == 5 && count == 1 { throw Failure(.worker, "this one fails at first") }
        }
        for _ in 0..<2 { try farm.addWorker(behaviour, group: 8) }
        try await farm.waitForWorkers(2)
        #expect(try await farm.run([12], seed: 6).last.parameters == FakeJob.expectedParameters(barriers: [12], seed: 6))
        let counts = tries.withLock { $0 }
        // On a busy machine the coordinator may try one late task a second time, a tenth of the barrier.
        let repeated = counts.filter { $0.value > 1 }.keys.filter { $0 != 5 }
        #expect(counts.count == 12 && counts[5] == 2 && repeated.count <= 1, "\(counts)")
    }
}
