import Acceleration
import Cluster
import ContentHash
import Foundation
import Messages
import Synchronization
import Testing

@testable import Rendering
@testable import Runtime

@Suite("Groups of tasks")
struct GroupTests {
    // MARK: The size

    /// A task of a latent with so many points; its cost is twice that, for both halves of guidance.
    private static func task(side: Int) -> RenderTask {
        let latent = Latent(channels: 4, height: side, width: side, values: [Float](repeating: 0, count: 4 * side * side))
        let context = JobContext(modelIdentity: .init(of: [1]), conditioning: nil)
        return RenderTask(
            phase: .detail, step: 0, index: 0, contextHash: context.hash,
            work: DenoiseWork(latent: latent, timestep: 1, guidance: 5, switches: .plain))
    }

    private static let megabyte = 1 << 20

    /// The limit after a call of `learned` tasks that took the seconds and the bytes.
    private static func limit(
        largest: Int = 8, learned: Int = 1, seconds: Double, bytes: Int, free: Int?, idle: Int = 0, side: Int = 16
    ) -> Int {
        var limits = GroupLimits(largest: largest) { free }
        limits.learn([RenderTask](repeating: task(side: 16), count: learned), seconds: seconds, peakBytes: bytes)
        return limits.limit(of: task(side: side), idleBytes: idle)
    }

    @Test("a worker begins with single tasks, and one that is told so stays with them")
    func first() {
        let limits = GroupLimits(largest: 8) { nil }
        #expect(limits.limit(of: Self.task(side: 16), idleBytes: 0) == 1)
        #expect(Self.limit(seconds: 0.01, bytes: 1000, free: nil) == 8)
        #expect(Self.limit(largest: 1, seconds: 0.01, bytes: 1000, free: nil) == 1)
        #expect(Self.limit(largest: 3, seconds: 0.01, bytes: 1000, free: 0) == 3, "a small group is taken without a look")
    }

    @Test("no group takes much longer than ten seconds")
    func time() {
        #expect(Self.limit(seconds: 3, bytes: 1000, free: nil) == 3)
        #expect(Self.limit(seconds: 60, bytes: 1000, free: nil) == 1)
        #expect(Self.limit(learned: 4, seconds: 8, bytes: 1000, free: nil) == 5)
        // Four times as many points take four times as long.
        #expect(Self.limit(seconds: 1, bytes: 1000, free: nil, side: 32) == 2)
    }

    @Test("a group takes a quarter of the free memory and what is kept for it already")
    func memory() {
        let bytes = 100 * Self.megabyte
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 1200 * Self.megabyte) == 3)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 1200 * Self.megabyte, idle: 2 * bytes) == 5)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 0) == 1)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: nil) == 8)
        #expect(Self.limit(learned: 2, seconds: 0.1, bytes: bytes, free: 1200 * Self.megabyte) == 6)
        #expect(Self.limit(seconds: 0.1, bytes: bytes, free: 4000 * Self.megabyte, side: 32) == 2)
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

    @Test("a worker that is told to end finishes one call, however many tasks wait behind it", arguments: [1, 2])
    func drain(_ callSize: Int) async throws {
        let farm = try TestFarm(parameters: ClusterParameters())
        defer { farm.stop() }
        let begun = Mutex(0)
        let isReleased = Mutex(false)
        var behaviour = FakeBehaviour(callSize: callSize)
        behaviour.beforeTask = { (serial, _) throws(Failure) in
            guard serial == 1 else { return }
            begun.withLock { $0 += 1 }
            while !isReleased.withLock({ $0 }) { usleep(1000) }
        }
        let leaving = try farm.addWorker(behaviour, group: 8)
        let job = try farm.coordinator.submit(FakeJob(barriers: [1, 40], seed: 8))
        while begun.withLock({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        // It has a group of eight when it is told to end.
        leaving.terminate()
        try await Task.sleep(for: .milliseconds(100))
        isReleased.withLock { $0 = true }
        #expect(leaving.wait() == .drained)
        #expect(begun.withLock { $0 } == callSize)
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
        #expect(try await farm.run([12], seed: 6).last.parameters == FakeJob.expectedParameters(barriers: [12], seed: 6))
        let counts = tries.withLock { $0 }
        // On a busy machine the coordinator may try one late task a second time, a tenth of the barrier.
        let repeated = counts.filter { $0.value > 1 }.keys.filter { $0 != 5 }
        #expect(counts.count == 12 && counts[5] == 2 && repeated.count <= 1, "\(counts)")
    }
}
