import Cluster
import Foundation
import Messages
import Sentences
import Synchronization
import TestSupport
import Testing

@testable import Runtime

@Suite("Faults of workers")
struct FaultTests {
    @Test("a task that fails on one worker is done by another, and the first lives on")
    func failingOnce() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let failures = Mutex(0)
        var flaky = FakeBehaviour()
        flaky.beforeTask = { (_, index) throws(Failure) in
            if index == 3 {
                failures.withLock { $0 += 1 }
                throw Failure(.payload, "no threes here")
            }
        }
        try farm.addWorker(flaky)
        try farm.addWorker()
        // Alone, the first would be the only worker.
        try await farm.waitForWorkers(2)
        let barriers = [9, 9, 9, 9]
        #expect(
            try await farm.run(barriers, seed: 9).last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 9))
    }

    @Test("a task that fails everywhere fails its job with the reason, and other jobs go on", arguments: [1, 2, 3, 4])
    func poison(_ workers: Int) async throws {
        // Tries are counted: no clock may end one on a busy machine.
        let farm = try TestFarm(parameters: ClusterParameters())
        defer { farm.stop() }
        let tries = Mutex(0)
        var behaviour = FakeBehaviour()
        behaviour.beforeTask = { (serial, index) throws(Failure) in
            if serial == 1 && index == 3 {
                tries.withLock { $0 += 1 }
                throw Failure(.payload, "task three is cursed")
            }
        }
        for _ in 0..<workers { try farm.addWorker(behaviour) }
        try await farm.waitForWorkers(workers)
        let error = try await farm.run([4, 9], seed: 9).last.error
        #expect(error?.code == .jobFailed)
        #expect(error?.message.contains("task three is cursed") == true)
        #expect(error?.message.hasPrefix("In detail step 2 of 2, task 4 failed on every worker tried: ") == true)
        #expect(tries.withLock { $0 } == min(workers, 3))
        #expect(try await farm.run([3], seed: 4).last.parameters == FakeJob.expectedParameters(barriers: [3], seed: 4))
    }

    @Test("what is not finite twice fails the job as numeric")
    func nonFinite() async throws {
        // Tries are counted: no clock may end one on a busy machine.
        let farm = try TestFarm(parameters: ClusterParameters())
        defer { farm.stop() }
        let tries = Mutex(0)
        var behaviour = FakeBehaviour()
        behaviour.beforeTask = { (_, index) throws(Failure) in
            if index == 1 {
                tries.withLock { $0 += 1 }
                throw Failure(.nonFinite, "NaN in the first block")
            }
        }
        for _ in 0..<3 { try farm.addWorker(behaviour) }
        try await farm.waitForWorkers(3)
        let error = try await farm.run([4], seed: 9).last.error
        #expect(error?.code == .jobFailed)
        #expect(error?.message.contains("has a result that is not finite") == true)
        #expect(tries.withLock { $0 } == 2)
    }

    @Test("a context that no worker can open fails the job with the reason")
    func contextRefused() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        var behaviour = FakeBehaviour()
        behaviour.beforeOpen = { () throws(Failure) in throw Failure(.worker, "the weights are torn") }
        try farm.addWorker(behaviour)
        let error = try await farm.run([4], seed: 9).last.error
        #expect(error?.message.contains("the weights are torn") == true)
    }

    @Test("a result that cannot be merged is computed again by another worker")
    func lies() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(lies: true))
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 1))
        try await farm.waitForWorkers(2)
        #expect(try await farm.run([6], seed: 9).last.parameters == FakeJob.expectedParameters(barriers: [6], seed: 9))
    }

    @Test("a worker that hangs on a task loses it to another")
    func wedged() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let hangs = Mutex(true)
        var behaviour = FakeBehaviour()
        behaviour.beforeTask = { (_, _) throws(Failure) in while hangs.withLock({ $0 }) { usleep(10_000) } }
        try farm.addWorker(behaviour)
        try await farm.waitForWorkers(1)
        let job = try farm.coordinator.submit(FakeJob(barriers: [5, 5], seed: 8))
        try await Task.sleep(for: .milliseconds(100))
        try farm.addWorker()
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [5, 5], seed: 8))
        hangs.withLock { $0 = false }
    }

    @Test("a worker that is told to end finishes its task, gives the rest back, and costs nothing")
    func drain() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let leaving = try farm.addWorker(FakeBehaviour(taskMilliseconds: 20))
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 20))
        let job = try farm.coordinator.submit(FakeJob(barriers: [20, 5], seed: 8))
        try await Task.sleep(for: .milliseconds(150))
        #expect(leaving.stop() == .drained)
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [20, 5], seed: 8))
    }

    @Test("a coordinator that comes back finds its workers again")
    func coordinatorRestart() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let worker = try TestWorker(endpoint: endpoint, behaviour: FakeBehaviour(taskMilliseconds: 30))
        let first = try TestFarm(endpoint: endpoint)
        let lost = try first.coordinator.submit(FakeJob(barriers: [16_000], seed: 1))
        try await Task.sleep(for: .milliseconds(200))
        first.stop()
        #expect(await TestFarm.follow(lost).last.error != nil)
        let second = try TestFarm(endpoint: endpoint)
        #expect(try await second.run([6], seed: 3).last.parameters == FakeJob.expectedParameters(barriers: [6], seed: 3))
        #expect(worker.stop() == .drained)
        second.stop()
    }

    @Test("a job runs on one numerics class only")
    func numericsClass() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let used = Mutex<[String: Set<Int>]>([:])
        for name in ["a", "b"] {
            var behaviour = FakeBehaviour(numericsClass: name, taskMilliseconds: 2)
            behaviour.beforeTask = { (serial, _) throws(Failure) in used.withLock { _ = $0[name, default: []].insert(serial) }
            }
            try farm.addWorker(behaviour)
        }
        try await farm.waitForWorkers(2)
        let barriers = [5, 5, 5]
        #expect(
            try await farm.run(barriers, seed: 2).last.parameters == FakeJob.expectedParameters(barriers: barriers, seed: 2))
        #expect(used.withLock { $0.count } == 1)
    }

    @Test("when the class that began a job is gone for good, the job says so")
    func classLost() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let hasBegun = Atomic(false)
        var behaviour = FakeBehaviour(numericsClass: "a", taskMilliseconds: 50)
        // Once the workers compute the second barrier, the first is merged, and the job belongs to the class.
        behaviour.beforeTask = { (serial, _) throws(Failure) in if serial > 0 { hasBegun.store(true, ordering: .relaxed) } }
        let first = try farm.addWorker(behaviour)
        let job = try farm.coordinator.submit(FakeJob(barriers: [2, 16_000], seed: 2))
        while !hasBegun.load(ordering: .relaxed) { try await Task.sleep(for: .milliseconds(5)) }
        try farm.addWorker(FakeBehaviour(numericsClass: "b"))
        #expect(first.stop() == .drained)
        let error = await TestFarm.follow(job).last.error
        #expect(error?.code == .temporary)
        #expect(error?.message.contains("numerics class a") == true)
    }

    @Test("a worker whose lifeline hangs up ends at once, also while it computes")
    func lifeline() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        let worker = try TestWorker(
            endpoint: farm.endpoint, behaviour: FakeBehaviour(taskMilliseconds: 200), lifelineFD: ends[0])
        let job = try farm.coordinator.submit(FakeJob(barriers: [16_000], seed: 2))
        try await Task.sleep(for: .milliseconds(150))
        close(ends[1])
        #expect(worker.wait() == .orphaned)
        close(ends[0])
        job.cancel()
    }

    @Test("only who knows the join token gets in")
    func joinToken() async throws {
        let farm = try TestFarm(joinToken: "secret")
        defer { farm.stop() }
        let stranger = try farm.addWorker(joinToken: "guess")
        guard case .failed(let error) = stranger.wait() else {
            Issue.record("a stranger was not refused")
            return
        }
        #expect(error.code == .refused)
        try farm.addWorker(joinToken: "secret")
        #expect(try await farm.run([2], seed: 3).last.parameters == FakeJob.expectedParameters(barriers: [2], seed: 3))
    }
}
