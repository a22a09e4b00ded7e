import Cluster
import Sentences
import Testing

@Suite("Sessions")
struct SessionTests {
    @Test("a lease nobody confirms goes out again, blameless; one that is confirmed stays")
    func acceptTimeout() {
        var bench = Bench()
        _ = bench.join(1)
        _ = bench.join(2)
        _ = bench.submit(costs: [1])
        let first = bench.takeLeases()[0]
        for _ in 0..<5 {
            _ = bench.pass(1000)
            for number: UInt64 in 1...2 { bench.tell(.heard(SessionID(number))) }
        }
        _ = bench.pass(500)
        let again = bench.takeLeases()
        #expect(again.map(\.key) == [first.key])
        // The late result of the first try still counts.
        #expect(bench.finish(first).taken == [0])
        #expect(bench.finish(again[0]).verdicts == [.duplicate])
    }

    @Test("progress renews a lease; without it the lease ends, and the second time in a row the worker is sent away")
    func progress() {
        var bench = Bench()
        let worker = bench.join(1)
        _ = bench.submit(costs: [1, 1])
        let leases = bench.takeLeases()
        bench.tell(.accepted(worker, leases.map(\.lease)))
        for _ in 0..<20 {
            #expect(bench.pass(5000).ends.isEmpty)
            bench.tell(.progressed(worker, leases[0].lease))
        }
        var actions: [ClusterAction] = []
        for _ in 0..<7 {
            actions += bench.pass(5000)
            bench.tell(.heard(worker))
        }
        #expect(actions.contains(.recall(worker, leases.map(\.lease))))
        #expect(bench.machine.taskCounts(of: JobID(1))?.open == 2)
        for _ in 0..<7 {
            actions += bench.pass(5000)
            bench.tell(.heard(worker))
        }
        #expect(actions.ends == [.wedged])
    }

    @Test("a silent worker is probed, then given up; its result still counts when it comes back")
    func silence() {
        var bench = Bench()
        let worker = bench.join(1)
        _ = bench.submit(costs: [1])
        let lease = bench.takeLeases()[0]
        #expect(bench.pass(1000).contains(.probe(worker)))
        #expect(bench.pass(9500).ends == [.silent])
        let back = bench.join(1, session: 9, held: [lease.lease])
        bench.actions.removeAll()
        #expect(bench.tell(.result(back, lease.lease, computeTime: .milliseconds(1))).taken == [0])
    }

    @Test("a worker that reconnects within the grace goes on with its leases")
    func reconnect() {
        var bench = Bench()
        let worker = bench.join(1)
        _ = bench.submit(costs: [1, 1])
        let leases = bench.takeLeases()
        bench.tell(.disconnected(worker, undelivered: []))
        _ = bench.pass(1000)
        bench.actions.removeAll()
        _ = bench.join(1, session: 5, held: [leases[0].lease])
        #expect(bench.actions.contains(.welcome(SessionID(5), keep: [leases[0].lease])))
        // A lease that the worker no longer holds is granted to it again.
        #expect(bench.takeLeases().map(\.key) == [leases[1].key])
        #expect(bench.finish((SessionID(5), leases[0].lease, leases[0].key)).taken == [leases[0].key.index])
    }

    @Test("a lease belongs to its process: another one's result for it is a violation, ten of them end the session")
    func forgery() {
        var bench = Bench()
        _ = bench.join(1)
        _ = bench.submit(costs: [1])
        let lease = bench.takeLeases()[0]
        let thief = bench.join(2)
        for _ in 0..<9 {
            let actions = bench.tell(.result(thief, lease.lease, computeTime: .milliseconds(1)))
            #expect(actions.taken.isEmpty && actions.ends.isEmpty)
        }
        #expect(bench.tell(.result(thief, lease.lease, computeTime: .milliseconds(1))).ends == [.strikes])
        #expect(bench.finish(lease).taken == [0])
    }

    @Test("a draining worker gets nothing new")
    func drain() {
        var bench = Bench()
        let worker = bench.join(1)
        _ = bench.submit(costs: [1, 1, 1])
        let leases = bench.takeLeases()
        bench.tell(.draining(worker))
        bench.finish(leases[0])
        bench.tell(.cancelled(worker, [leases[1].lease]))
        #expect(bench.takeLeases().isEmpty)
        #expect(bench.tell(.left(worker)).ends == [.orderly])
        #expect(bench.machine.taskCounts(of: JobID(1))?.open == 2)
    }

    @Test("a coordinator that was frozen blames nobody for the silence")
    func frozen() {
        var bench = Bench()
        let worker = bench.join(1)
        _ = bench.submit(costs: [1])
        let lease = bench.takeLeases()[0]
        bench.tell(.accepted(worker, [lease.lease]))
        _ = bench.pass(500)
        bench.now = bench.now + .seconds(40)
        #expect(bench.tell(.tick).ends.isEmpty)
        #expect(bench.finish(lease).taken == [0])
    }

    @Test("a job without workers says why, goes on when one comes, and fails in time where none can come")
    func starvation() {
        var bench = Bench()
        let job = bench.submit(costs: [1])
        #expect(bench.pass(3000).contains(.waiting(job, "no worker is connected")))
        #expect(bench.pass(300_000).failures.isEmpty)
        _ = bench.join(1)
        #expect(bench.pass(500).contains(.waiting(job, nil)))

        var own = Bench { $0.failsStarvedJobs = true }
        _ = own.submit(costs: [1])
        #expect(own.pass(59_000).failures.isEmpty)
        #expect(own.pass(2000).failures == [.starved("no worker is connected")])
    }

    @Test("a worker's machine gives everything back when it is told to end")
    func workerDrains() {
        var worker = WorkerMachine(now: Instant(nanoseconds: 0))
        let now = Instant(nanoseconds: 1_000_000)
        _ = worker.handle(.tick, now: now)
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        _ = worker.handle(.contextOpened(ContextID(1), ok: true), now: now)
        #expect(worker.handle(.leased(LeaseID(1), ContextID(1)), now: now) == [.compute([LeaseID(1)])])
        #expect(worker.handle(.leased(LeaseID(2), ContextID(1)), now: now) == [])
        #expect(worker.handle(.terminate, now: now) == [.sendDrain, .forget(LeaseID(2)), .sendCancelled([LeaseID(2)])])
        #expect(worker.handle(.computed(LeaseID(1)), now: now) == [.sendOutcome(LeaseID(1))])
        #expect(worker.handle(.acknowledged([LeaseID(1)]), now: now) == [.forget(LeaseID(1)), .sendBye, .end(.drained)])
    }

    @Test("a worker's contexts go when they are closed, also before they are open, or where there are too many")
    func workerContexts() {
        var parameters = WorkerParameters()
        parameters.contextLimit = 2
        var worker = WorkerMachine(parameters: parameters, now: Instant(nanoseconds: 0))
        let now = Instant(nanoseconds: 1_000_000)
        func context(_ number: Int) -> ContextID { ContextID(UInt64(number)) }
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        for number in 1...2 {
            #expect(worker.handle(.openContext(context(number)), now: now) == [.open(context(number))])
            #expect(worker.handle(.contextOpened(context(number), ok: true), now: now) == [.sendReady(context(number))])
        }
        // The first is the older one, but a lease waits for it.
        #expect(worker.handle(.leased(LeaseID(1), context(2)), now: now) == [.compute([LeaseID(1)])])
        #expect(worker.handle(.leased(LeaseID(2), context(1)), now: now).isEmpty)
        #expect(worker.handle(.computed(LeaseID(1)), now: now) == [.sendOutcome(LeaseID(1)), .compute([LeaseID(2)])])
        _ = worker.handle(.openContext(context(3)), now: now)
        #expect(worker.handle(.contextOpened(context(3), ok: true), now: now) == [.close(context(2)), .sendReady(context(3))])
        #expect(worker.knows(context(1)) && !worker.knows(context(2)) && worker.knows(context(3)))
        #expect(worker.handle(.closeContext(context(1)), now: now) == [.close(context(1))])
        #expect(worker.handle(.closeContext(context(1)), now: now).isEmpty)
        // A context closed during its opening closes once it is open, unless it is opened again.
        _ = worker.handle(.openContext(context(4)), now: now)
        #expect(worker.handle(.closeContext(context(4)), now: now).isEmpty && worker.knows(context(4)))
        #expect(worker.handle(.contextOpened(context(4), ok: true), now: now) == [.close(context(4))])
        for event in [WorkerEvent.openContext(context(5)), .closeContext(context(5)), .openContext(context(5))] {
            _ = worker.handle(event, now: now)
        }
        #expect(worker.handle(.contextOpened(context(5), ok: true), now: now) == [.sendReady(context(5))])
        // A context that failed to open is not kept.
        _ = worker.handle(.openContext(context(6)), now: now)
        #expect(worker.handle(.contextOpened(context(6), ok: false), now: now) == [.sendContextFailed(context(6))])
        #expect(!worker.knows(context(6)))
    }

    @Test("leases keep more contexts than the limit; all that are too many go once no lease needs them")
    func contextsBeyondTheLimit() {
        var parameters = WorkerParameters()
        parameters.contextLimit = 1
        var worker = WorkerMachine(parameters: parameters, now: Instant(nanoseconds: 0))
        let now = Instant(nanoseconds: 1_000_000)
        let contexts = (1...4).map { ContextID(UInt64($0)) }
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        for (number, context) in contexts.prefix(3).enumerated() {
            _ = worker.handle(.openContext(context), now: now)
            #expect(worker.handle(.contextOpened(context, ok: true), now: now) == [.sendReady(context)])
            _ = worker.handle(.leased(LeaseID(UInt64(number)), context), now: now)
        }
        for number in 0..<3 { _ = worker.handle(.computed(LeaseID(UInt64(number))), now: now) }
        _ = worker.handle(.openContext(contexts[3]), now: now)
        #expect(
            worker.handle(.contextOpened(contexts[3], ok: true), now: now)
                == contexts.prefix(3).map { .close($0) } + [.sendReady(contexts[3])])
        #expect(contexts.map(worker.knows) == [false, false, false, true])
    }

    @Test("a coordinator that asks for no waits at all makes no worker busy")
    func noWaits() throws {
        let start = Instant(nanoseconds: 1_000_000)
        var now = start
        var worker = WorkerMachine(now: now)
        let zero = Interval.milliseconds(0)
        var terms = WorkerTerms()
        (terms.heartbeat, terms.silence, terms.progress, terms.acceptDelay, terms.resend) = (zero, zero, zero, zero, zero)
        _ = worker.handle(.welcomed(terms, keep: []), now: now)
        _ = worker.handle(.contextOpened(ContextID(1), ok: true), now: now)
        _ = worker.handle(.leased(LeaseID(1), ContextID(1)), now: now)
        _ = worker.handle(.computed(LeaseID(1)), now: now)
        var turns = 0
        while now.since(start) < .seconds(1), turns < 1000 {
            now = max(now, try #require(worker.nextDeadline()))
            _ = worker.handle(.tick, now: now)
            _ = worker.handle(.heard, now: now)
            turns += 1
        }
        #expect(turns <= 300)
        #expect(now.since(start) >= .seconds(1))
    }

    @Test("a worker sends an unacknowledged result again, and keeps it over a new connection")
    func workerResends() {
        var worker = WorkerMachine(now: Instant(nanoseconds: 0))
        var now = Instant(nanoseconds: 1_000_000)
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        _ = worker.handle(.contextOpened(ContextID(1), ok: true), now: now)
        _ = worker.handle(.leased(LeaseID(1), ContextID(1)), now: now)
        _ = worker.handle(.computed(LeaseID(1)), now: now)
        now = now + .seconds(6)
        #expect(worker.handle(.tick, now: now).contains(.sendOutcome(LeaseID(1))))
        now = now + .seconds(11)
        let lost = worker.handle(.tick, now: now)
        #expect(lost == [.reconnect, .sendHello(held: [], unacked: [LeaseID(1)])])
        let back = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        #expect(back == [.sendOutcome(LeaseID(1))])
    }
}
