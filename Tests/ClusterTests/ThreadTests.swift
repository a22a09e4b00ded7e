import Cluster
import Sentences
import Testing

/// Tasks that continue with the data that a worker keeps.
@Suite("Threads")
struct ThreadTests {
    typealias Granted = (session: SessionID, lease: LeaseID, key: TaskKey)

    /// Opens the barrier of a section: a task for each thread, in a context that builds on that of the first section.
    private func open(_ bench: inout Bench, section: Int, threads: Int) {
        if section == 0 { bench.tell(.submitted(JobID(1), WorkerNeeds(model: "m"))) }
        let tasks = (0..<threads).map {
            ClusterTask(context: ContextID(UInt64(section + 1)), base: section > 0 ? ContextID(1) : nil, thread: $0)
        }
        bench.openAll(bench.tell(.barrier(JobID(1), serial: section, tasks)))
    }

    /// Computes all tasks that are granted, again and again. Returns the worker of each thread.
    private func run(_ bench: inout Bench, threads: Int) -> [SessionID?] {
        var workers = [SessionID?](repeating: nil, count: threads)
        while true {
            let leases = bench.takeLeases()
            if leases.isEmpty { return workers }
            for lease in leases {
                workers[lease.key.index] = lease.session
                bench.finish(lease)
            }
            #expect(bench.machine.inconsistency() == nil)
        }
    }

    /// A worker that has not opened a context yet.
    @discardableResult
    private func arrive(_ bench: inout Bench, _ number: UInt64) -> [ClusterAction] {
        let profile = WorkerProfile(
            worker: PeerID(high: 1, low: number), instance: PeerID(high: 2, low: number), slots: 1, numericsClass: "a",
            models: ["m"], precisions: ["f32"])
        return bench.tell(.joined(SessionID(number), profile, held: []))
    }

    @Test("neighbours go to one worker, and stay there")
    func neighbours() {
        var bench = Bench()
        let workers = (1...3).map { bench.join(UInt64($0)) }
        for section in 0..<3 {
            open(&bench, section: section, threads: 7)
            #expect(run(&bench, threads: 7) == [0, 0, 0, 1, 1, 2, 2].map { workers[$0] }, "section \(section)")
        }
    }

    @Test("a worker that joins later gets no thread that has a home")
    func late() {
        var bench = Bench()
        let first = bench.join(1)
        open(&bench, section: 0, threads: 4)
        _ = run(&bench, threads: 4)
        _ = bench.join(2)
        open(&bench, section: 1, threads: 4)
        #expect(run(&bench, threads: 4) == [first, first, first, first])
    }

    @Test("the threads of a worker that is gone, leaves or is lost go to others", arguments: [0, 1, 2])
    func gone(_ how: Int) {
        var bench = Bench()
        let (first, second) = (bench.join(1), bench.join(2))
        open(&bench, section: 0, threads: 4)
        #expect(run(&bench, threads: 4) == [first, first, second, second])
        switch how {
        case 0: bench.tell(.left(first))
        case 1: bench.tell(.draining(first))
        default: bench.tell(.disconnected(first, undelivered: []))
        }
        open(&bench, section: 1, threads: 4)
        #expect(run(&bench, threads: 4) == [second, second, second, second])
        // The threads that the second worker took over stay with it.
        let third = bench.join(3)
        open(&bench, section: 2, threads: 4)
        let workers = run(&bench, threads: 4)
        #expect(workers == [second, second, second, second] && !workers.contains(third))
    }

    @Test("a home that takes nothing more is no home")
    func noCredit() {
        var bench = Bench()
        let (first, second) = (bench.join(1), bench.join(2))
        open(&bench, section: 0, threads: 2)
        #expect(run(&bench, threads: 2) == [first, second])
        bench.tell(.credit(first, 0))
        open(&bench, section: 1, threads: 2)
        #expect(run(&bench, threads: 2) == [second, second])
    }

    @Test("the threads of a lost worker are shared among the others")
    func orphans() {
        var bench = Bench()
        let workers = (1...4).map { bench.join(UInt64($0)) }
        open(&bench, section: 0, threads: 16)
        _ = run(&bench, threads: 16)
        bench.tell(.left(workers[0]))
        open(&bench, section: 1, threads: 16)
        let now = run(&bench, threads: 16)
        #expect((4..<16).allSatisfy { now[$0] == workers[$0 / 4] })
        #expect(workers.dropFirst().allSatisfy { worker in (5...6).contains(now.count { $0 == worker }) }, "\(now)")
    }

    @Test("threads of another latent begin anew")
    func another() {
        var bench = Bench()
        let first = bench.join(1)
        open(&bench, section: 0, threads: 2)
        #expect(run(&bench, threads: 2) == [first, first])
        let second = bench.join(2)
        bench.openAll(
            bench.tell(.barrier(JobID(1), serial: 1, (0..<4).map { ClusterTask(context: ContextID(7), thread: $0) })))
        #expect(run(&bench, threads: 4) == [first, first, second, second])
    }

    @Test("threads do not wait long for a worker that loads something else")
    func loading() {
        var bench = Bench()
        let first = bench.join(1)
        let tasks = (0..<2).map { ClusterTask(context: ContextID(1), thread: $0) }
        bench.tell(.submitted(JobID(1), WorkerNeeds(model: "m")))
        bench.openAll(bench.tell(.barrier(JobID(1), serial: 0, tasks)))
        // The second worker never says that it has the context.
        arrive(&bench, 2)
        #expect(run(&bench, threads: 2)[0] == first)
        bench.now = bench.now + .milliseconds(2500)
        bench.tell(.tick)
        _ = run(&bench, threads: 2)
        #expect(bench.machine.taskCounts(of: JobID(1))?.done == 2)
    }

    @Test("a task that failed at home goes elsewhere")
    func failed() {
        var bench = Bench()
        let (first, second) = (bench.join(1), bench.join(2))
        open(&bench, section: 0, threads: 2)
        #expect(run(&bench, threads: 2) == [first, second])
        open(&bench, section: 1, threads: 2)
        for lease in bench.takeLeases() {
            if lease.session == first {
                bench.tell(.failed(first, lease.lease, .worker, "no memory"))
            } else {
                bench.finish(lease)
            }
        }
        bench.openAll(bench.pass(500))
        #expect(run(&bench, threads: 2)[0] == second)
    }

    @Test("a slow thread is not doubled")
    func stragglers() {
        var bench = Bench()
        _ = (bench.join(1), bench.join(2))
        open(&bench, section: 0, threads: 8)
        var slow: Granted?
        while true {
            let leases = bench.takeLeases()
            if leases.isEmpty { break }
            for lease in leases {
                if lease.key.index == 7 { slow = lease } else { bench.finish(lease) }
            }
        }
        bench.tell(.accepted(slow?.session ?? SessionID(0), [slow?.lease ?? LeaseID(0)]))
        _ = bench.pass(20_000)
        #expect(slow != nil && bench.takeLeases().isEmpty)
    }

    @Test("the first section's context stays open for those that build on it")
    func contexts() {
        var bench = Bench()
        let worker = bench.join(1)
        open(&bench, section: 0, threads: 2)
        _ = run(&bench, threads: 2)
        let second = bench.tell(
            .barrier(JobID(1), serial: 1, [ClusterTask(context: ContextID(2), base: ContextID(1), thread: 0)]))
        #expect(second == [.openContext(worker, ContextID(2))])
        #expect(bench.takeLeases().isEmpty)
        bench.openAll(second)
        _ = run(&bench, threads: 2)
        let third = bench.tell(
            .barrier(JobID(1), serial: 2, [ClusterTask(context: ContextID(3), base: ContextID(1), thread: 0)]))
        #expect(third == [.closeContext(worker, ContextID(2)), .openContext(worker, ContextID(3))])
        // A worker that comes now needs both, the base first.
        let late = arrive(&bench, 9)
        let opened = late.compactMap { if case .openContext(_, let context) = $0 { context } else { nil } }
        #expect(opened == [ContextID(1), ContextID(3)])
    }

    @Test("a worker accepts a task when it holds both contexts")
    func worker() {
        let now = Instant(nanoseconds: 0)
        var worker = WorkerMachine(now: now)
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        func open(_ context: UInt64) {
            _ = worker.handle(.openContext(ContextID(context)), now: now)
            _ = worker.handle(.contextOpened(ContextID(context), ok: true), now: now)
        }
        open(2)
        let refused = worker.handle(.leased(LeaseID(5), ContextID(2), base: ContextID(1)), now: now)
        #expect(refused.contains(.sendNeed(ContextID(1))) && refused.contains(.sendCancelled([LeaseID(5)])))
        open(1)
        let taken = worker.handle(.leased(LeaseID(6), ContextID(2), base: ContextID(1)), now: now)
        #expect(taken.contains(.compute([LeaseID(6)])))
        // Many other contexts push out neither, as long as a lease needs them.
        for context in 10..<40 { open(UInt64(context)) }
        #expect(worker.knows(ContextID(1)) && worker.knows(ContextID(2)))
    }
}
