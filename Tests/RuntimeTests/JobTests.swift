import Foundation
import ImageFiles
import Messages
import Places
import Sentences
import Synchronization
import TestSupport
import Testing

@testable import Runtime

@Suite("Jobs on a farm")
struct JobTests {
    @Test("the picture does not depend on how many workers there are", arguments: [1, 2, 3, 5])
    func workerCount(_ count: Int) async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        for _ in 0..<count { try farm.addWorker() }
        let outcome = try await farm.run([1, 9, 9, 16, 1], seed: 5)
        #expect(outcome.last.parameters == FakeJob.expectedParameters(barriers: [1, 9, 9, 16, 1], seed: 5))
    }

    @Test("workers may be there first or come later")
    func bothOrders() async throws {
        let endpoint = TestFarm.uniqueEndpoint()
        let early = try TestWorker(endpoint: endpoint)
        try await Task.sleep(for: .milliseconds(100))
        let farm = try TestFarm(endpoint: endpoint)
        defer { farm.stop() }
        #expect(try await farm.run([3], seed: 2).last.parameters == FakeJob.expectedParameters(barriers: [3], seed: 2))
        #expect(early.stop() == .drained)
        let job = try farm.coordinator.submit(FakeJob(barriers: [4], seed: 3))
        try await Task.sleep(for: .milliseconds(100))
        try farm.addWorker()
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [4], seed: 3))
    }

    @Test("events come in order, with a plan, progress, and timings that add up")
    func events() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 20))
        let (last, all) = try await farm.run([4, 12], seed: 1)
        #expect(all.first == .queued(position: 0))
        #expect(all.contains(.started(JobOutline(summaryLines: ["2 barriers"], taskCount: 16))))
        let progress = all.compactMap { event -> JobProgress? in
            if case .progress(let progress) = event { return progress }
            return nil
        }
        #expect(progress.map(\.tasksDone) == progress.map(\.tasksDone).sorted())
        #expect(progress.last?.tasksDone == 16)
        #expect(progress.last?.workers == 1)
        guard case .finished(let result) = last else {
            Issue.record("the job ended with \(last)")
            return
        }
        #expect(result.timings.phases.map(\.name) == ["structure", "detail"])
        #expect(result.timings.phases.map(\.tasks) == [4, 12])
        #expect(result.timings.compute >= .milliseconds(16 * 20))
        #expect(result.timings.wall >= result.timings.compute)
        #expect(result.timings.wire > .zero)
        #expect(result.timings.merge > .zero)
        let operations = [4, 12].map { count in (0..<count).reduce(0) { $0 + FakeTasks.operations($1) } }
        #expect(result.counts.phases.map(\.name) == ["structure", "detail"])
        #expect(result.counts.phases.map(\.operations) == operations)
        #expect(result.counts.operations == operations.reduce(0, +))
        #expect(result.counts.workerPeakActivationBytes == 12_000)
        // This process holds the test runner at least.
        #expect(result.counts.workerPeakBytes > 1 << 20)
        // A number and the padding of each task and result, and no more than a kilobyte around it.
        let payload = 16 * (8 + FakeJob.padding.count)
        for bytes in [result.counts.bytesSent, result.counts.bytesReceived] {
            #expect(bytes > payload + 16 * WireLimits.headerBytes && bytes < payload + 20 * 1024)
        }
        let image = try ImageDecoder.decode(result.png)
        #expect(image.width == 8 && image.height == 1)
        #expect(image.text("parameters") == result.parameters)
    }

    @Test("a job does not count what the one before it needed")
    func countsOfOneJob() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker()
        for count in [9, 2] {
            guard case .finished(let result) = try await farm.run([count], seed: 1).last else {
                Issue.record("the job of \(count) tasks failed")
                return
            }
            #expect(result.counts.workerPeakActivationBytes == 1000 * count)
            #expect(result.counts.operations == (0..<count).reduce(0) { $0 + FakeTasks.operations($1) })
        }
    }

    @Test("several jobs at once each get their own results")
    func severalJobs() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        for _ in 0..<2 { try farm.addWorker(FakeBehaviour(taskMilliseconds: 1)) }
        let jobs = try (1...5).map { try farm.coordinator.submit(FakeJob(barriers: [2, 7, 5], seed: UInt64($0))) }
        for (index, job) in jobs.enumerated() {
            let expected = FakeJob.expectedParameters(barriers: [2, 7, 5], seed: UInt64(index + 1))
            #expect(await TestFarm.follow(job).last.parameters == expected)
        }
    }

    @Test("a worker holds the contexts of jobs that run and no others, over a hundred jobs and a cancelled one")
    func contextsGo() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let behaviour = FakeBehaviour()
        try farm.addWorker(behaviour)
        func job(_ seed: UInt64, _ barriers: [Int]) -> FakeJob {
            var job = FakeJob(barriers: barriers, seed: seed)
            job.hasOwnContexts = true
            return job
        }
        for seed in 1...100 {
            let event = await TestFarm.follow(try farm.coordinator.submit(job(UInt64(seed), [1, 2]))).last
            #expect(event.parameters == FakeJob.expectedParameters(barriers: [1, 2], seed: UInt64(seed)))
        }
        let endless = try farm.coordinator.submit(job(0xFFFF, [100_000]))
        while !behaviour.contexts.open.contains(where: { $0.hasPrefix("ffff") }) { try await Task.sleep(for: .milliseconds(5)) }
        endless.cancel()
        while !behaviour.contexts.open.isEmpty { try await Task.sleep(for: .milliseconds(5)) }
        // A job's next context, or the next job's, may be opened before the last one is closed.
        #expect((1...2).contains(behaviour.contexts.most))
    }

    @Test("a job whose merge takes long stops no other, and no thread is left when the coordinator has ended")
    func slowMerge() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker()
        let isHeld = Atomic(true)
        let merges = Atomic(0)
        defer { isHeld.store(false, ordering: .relaxed) }
        let threads = Mutex<Set<String>>([])
        var slow = FakeJob(barriers: [2, 3], seed: 5)
        slow.beforeMerge = {
            merges.add(1, ordering: .relaxed)
            while isHeld.load(ordering: .relaxed) { usleep(1000) }
        }
        let first = try farm.coordinator.submit(slow)
        while merges.load(ordering: .relaxed) == 0 { try await Task.sleep(for: .milliseconds(5)) }
        for seed in 0..<UInt64(8) {
            var job = FakeJob(barriers: [3, 1, 2], seed: seed)
            job.beforeMerge = {
                let thread = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
                _ = threads.withLock { $0.insert("/proc/" + (thread ?? "")) }
            }
            let event = await TestFarm.follow(try farm.coordinator.submit(job)).last
            #expect(event.parameters == FakeJob.expectedParameters(barriers: [3, 1, 2], seed: seed))
        }
        #expect(merges.load(ordering: .relaxed) == 1)
        isHeld.store(false, ordering: .relaxed)
        #expect(await TestFarm.follow(first).last.parameters == FakeJob.expectedParameters(barriers: [2, 3], seed: 5))
        let used = threads.withLock { $0 }
        #expect(!used.isEmpty && used.allSatisfy { FileManager.default.fileExists(atPath: $0) })
        farm.stop()
        #expect(used.allSatisfy { !FileManager.default.fileExists(atPath: $0) })
    }

    @Test("a coordinator ends while merges are under way, after them")
    func stopsWhileMerging() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker()
        let isHeld = Atomic(true)
        defer { isHeld.store(false, ordering: .relaxed) }
        let begun = Atomic(0)
        let ended = Atomic(0)
        let jobs = try (0..<12).map { seed in
            var job = FakeJob(barriers: [1, 1], seed: UInt64(seed))
            job.beforeMerge = {
                begun.add(1, ordering: .relaxed)
                while isHeld.load(ordering: .relaxed) { usleep(1000) }
                ended.add(1, ordering: .relaxed)
            }
            return try farm.coordinator.submit(job)
        }
        while begun.load(ordering: .relaxed) < 2 { try await Task.sleep(for: .milliseconds(1)) }
        async let shutdown: Void = Blocking.run { farm.coordinator.shutdown() }
        for job in jobs { #expect(await TestFarm.follow(job).last.error?.code == .unavailable) }
        #expect(ended.load(ordering: .relaxed) == 0)
        isHeld.store(false, ordering: .relaxed)
        try await shutdown
        // Every thread has finished its command, and has begun nothing else.
        #expect(begun.load(ordering: .relaxed) == ended.load(ordering: .relaxed) && ended.load(ordering: .relaxed) <= 4)
    }

    @Test("a worker stops the call of a cancelled job and takes the next one", .timeLimit(.minutes(1)))
    func callStops() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let calls = Atomic(0)
        let lasts = { @Sendable (_: Int, _: Int) in calls.add(1, ordering: .relaxed).oldValue == 0 }
        try farm.addWorker(FakeBehaviour(lasts: lasts))
        let endless = try farm.coordinator.submit(FakeJob(barriers: [9], seed: 1))
        while calls.load(ordering: .relaxed) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        endless.cancel()
        #expect(await TestFarm.follow(endless).last.error?.code == .cancelled)
        #expect(try await farm.run([4, 6], seed: 2).last.parameters == FakeJob.expectedParameters(barriers: [4, 6], seed: 2))
        #expect(calls.load(ordering: .relaxed) == 11, "the other eight tasks of the cancelled job were never begun")
    }

    @Test("the slower of two tries stops when the other one is done, and its worker helps again", .timeLimit(.minutes(1)))
    func slowerTryStops() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let calls = Atomic(0)
        let later = Atomic(0)
        let slow = FakeBehaviour(
            taskMilliseconds: 10, lasts: { _, _ in calls.add(1, ordering: .relaxed).oldValue == 0 },
            beforeTask: { (serial, _) throws(Failure) in if serial == 1 { later.add(1, ordering: .relaxed) } })
        try farm.addWorker(slow)
        let job = try farm.coordinator.submit(FakeJob(barriers: [9, 60], seed: 3))
        while calls.load(ordering: .relaxed) == 0 { try await Task.sleep(for: .milliseconds(1)) }
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 10))
        #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [9, 60], seed: 3))
        #expect(later.load(ordering: .relaxed) > 0)
    }

    @Test("a cancelled job ends at once, and the farm goes on")
    func cancel() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker(FakeBehaviour(taskMilliseconds: 50))
        let job = try farm.coordinator.submit(FakeJob(barriers: [16_000], seed: 1))
        try await Task.sleep(for: .milliseconds(200))
        job.cancel()
        #expect(await TestFarm.follow(job).last.error?.code == .cancelled)
        #expect(try await farm.run([2], seed: 4).last.parameters == FakeJob.expectedParameters(barriers: [2], seed: 4))
    }

    @Test("stopping the coordinator fails what runs and what comes later")
    func shutdown() async throws {
        let farm = try TestFarm()
        let worker = try farm.addWorker(FakeBehaviour(taskMilliseconds: 50))
        let job = try farm.coordinator.submit(FakeJob(barriers: [16_000], seed: 1))
        try await Task.sleep(for: .milliseconds(150))
        farm.coordinator.shutdown()
        #expect(await TestFarm.follow(job).last.error?.code == .unavailable)
        #expect(throws: RuntimeError.self) { try farm.coordinator.submit(FakeJob(barriers: [1], seed: 1)) }
        #expect(worker.stop() == .drained)
        farm.stop()
    }

    @Test("a coordinator that breaks down says so, and fails its jobs")
    func breaksDown() async throws {
        let failures = Mutex<[RuntimeError]>([])
        let lines = Mutex<[String]>([])
        let farm = try TestFarm { options in
            options.onFailure = { error in failures.withLock { $0.append(error) } }
            options.log = { line in lines.withLock { $0.append(line) } }
        }
        let job = try farm.coordinator.submit(FakeJob(barriers: [2], seed: 1))
        let error = RuntimeError(.internalFault, "The socket broke.")
        farm.coordinator.breakDown(error)
        #expect(await TestFarm.follow(job).last.error == error)
        farm.stop()
        #expect(failures.withLock { $0 } == [error])
        #expect(lines.withLock { $0 }.contains { $0.contains("The socket broke.") })
        #expect(throws: RuntimeError.self) { try farm.coordinator.submit(FakeJob(barriers: [1], seed: 1)) }
    }

    @Test("thousands of jobs that come and go while the planners are busy cost no other job a command", .timeLimit(.minutes(2)))
    func manyJobs() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        try farm.addWorker()
        let isHeld = Atomic(true)
        defer { isHeld.store(false, ordering: .relaxed) }
        var slow = FakeJob(barriers: [1], seed: 1)
        let begun = Atomic(0)
        slow.beforeStart = {
            begun.add(1, ordering: .relaxed)
            while isHeld.load(ordering: .relaxed) { usleep(1000) }
        }
        // More jobs than threads, and all threads at work.
        let first = try (0..<5).map { _ in try farm.coordinator.submit(slow) }
        while begun.load(ordering: .relaxed) < JobThreads.count { try await Task.sleep(for: .milliseconds(5)) }
        for _ in 0..<5 {
            let jobs = try (0..<900).map { _ in try farm.coordinator.submit(FakeJob(barriers: [1], seed: 1)) }
            for job in jobs { job.cancel() }
            for job in jobs { #expect(await TestFarm.follow(job).last.error?.code == .cancelled) }
        }
        let last = try farm.coordinator.submit(FakeJob(barriers: [2], seed: 3))
        isHeld.store(false, ordering: .relaxed)
        for job in first {
            #expect(await TestFarm.follow(job).last.parameters == FakeJob.expectedParameters(barriers: [1], seed: 1))
        }
        #expect(await TestFarm.follow(last).last.parameters == FakeJob.expectedParameters(barriers: [2], seed: 3))
    }

    @Test(
        "secrets and names that no message can carry are refused at the start",
        arguments: ["", String(repeating: "x", count: 257)])
    func texts(_ token: String) throws {
        let error = #expect(throws: RuntimeError.self) { _ = try TestFarm(joinToken: token) }
        #expect(error?.code == .usage)
        let worker = try TestWorker(endpoint: TestFarm.uniqueEndpoint(), joinToken: token)
        guard case .failed(let refusal) = worker.wait() else {
            Issue.record("the worker took the token")
            return
        }
        #expect(refusal == error)
    }

    @Test("an address in use is said in one sentence")
    func addressInUse() throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let error = #expect(throws: RuntimeError.self) { _ = try TestFarm(endpoint: farm.endpoint) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains(farm.endpoint) == true)
    }

    @Test("HELLO says the worker's precision, and a job that asks for one waits for it")
    func precision() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        var wide = FakeBehaviour()
        wide.beforeTask = { (_, _) throws(Failure) in Issue.record("a worker of another precision got a task") }
        try farm.addWorker(wide)
        try await farm.waitForWorkers(1)
        var fake = FakeJob(barriers: [2, 3], seed: 6)
        fake.precision = "bf16"
        var reasons: [Sentence] = []
        var finished: String?
        for await event in try farm.coordinator.submit(fake).events {
            if case .waiting(let reason) = event {
                reasons.append(reason)
                var narrow = FakeBehaviour()
                narrow.precision = "bf16"
                try farm.addWorker(narrow)
            }
            finished = event.parameters ?? finished
        }
        #expect(reasons.count == 1 && reasons[0].settings == [.precision], "\(reasons)")
        #expect(finished == FakeJob.expectedParameters(barriers: [2, 3], seed: 6))
    }

    @Test("a job without workers says what it waits for")
    func waits() async throws {
        let farm = try TestFarm()
        defer { farm.stop() }
        let job = try farm.coordinator.submit(FakeJob(barriers: [2], seed: 6))
        var waited = false
        for await event in job.events {
            if case .waiting(let reason) = event {
                waited = true
                #expect(reason.spelled(\.key).contains("worker") && reason.settings.isEmpty, "\(reason)")
                try farm.addWorker()
            }
            if case .finished(let result) = event {
                #expect(result.parameters == FakeJob.expectedParameters(barriers: [2], seed: 6))
            }
        }
        #expect(waited)
    }
}
