import Testing

@testable import Cluster

/// Leases of workers that compute groups of tasks.
@Suite("Groups")
struct GroupTests {
    private func counts(_ leases: [(session: SessionID, lease: LeaseID, key: TaskKey)]) -> [SessionID: Int] {
        leases.reduce(into: [:]) { $0[$1.session, default: 0] += 1 }
    }

    @Test("a worker holds its group and the next one, and never more")
    func credit() {
        var bench = Bench()
        let worker = bench.join(1, slots: 8)
        _ = bench.submit(costs: [Double](repeating: 1, count: 100))
        #expect(bench.takeLeases().count == 16)
        bench.tell(.credit(worker, 1000))
        #expect(bench.takeLeases().isEmpty)
        #expect(bench.machine.inconsistency() == nil)
        // The same process comes back with fewer slots: the leases that are too many go to others.
        let other = bench.join(2, slots: 4)
        let smaller = bench.join(1, session: 3, slots: 2, held: (1...16).map(LeaseID.init))
        #expect(counts(bench.takeLeases()) == [other: 8])
        #expect(bench.machine.taskCounts(of: JobID(1)).map { $0.leased } == 4 + 8)
        bench.tell(.credit(smaller, 1000))
        #expect(bench.takeLeases().isEmpty)
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a worker that says that it takes fewer gets fewer, until it takes more")
    func smallerGroups() {
        var bench = Bench()
        let worker = bench.join(1, slots: 8)
        bench.tell(.credit(worker, 2))
        _ = bench.submit(costs: [Double](repeating: 1, count: 100))
        let leases = bench.takeLeases()
        #expect(leases.count == 2)
        bench.finish(leases[0])
        #expect(bench.takeLeases().count == 1)
        bench.tell(.credit(worker, 6))
        #expect(bench.takeLeases().count == 4)
    }

    @Test("tasks are spread evenly, whoever is ready first", arguments: [(9, 2), (49, 2), (7, 3), (4, 4), (3, 5), (16, 3)])
    func shares(tasks: Int, workers: Int) {
        var bench = Bench()
        for number in 1...workers { _ = bench.join(UInt64(number), slots: 8) }
        let id = JobID(1)
        bench.tell(.submitted(id, WorkerNeeds(model: "m")))
        let opening = bench.tell(
            .barrier(id, serial: 0, (0..<tasks).map { _ in ClusterTask(context: ContextID(1)) }))
        // The first worker is ready long before the others.
        let share = min(16, (tasks + workers - 1) / workers)
        var held = 0
        for case .openContext(let session, let context) in opening {
            bench.actions.removeAll()
            bench.tell(.contextReady(session, context))
            let counts = counts(bench.takeLeases())
            #expect(counts.values.allSatisfy { $0 <= share }, "\(session): \(counts)")
            #expect(session != SessionID(1) || counts == [session: share])
            held += counts.values.reduce(0, +)
        }
        #expect(held == min(tasks, 16 * workers))
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("as tasks are done, the last ones are spread too")
    func lastTasks() {
        var bench = Bench()
        let first = bench.join(1, slots: 8)
        let second = bench.join(2, slots: 8)
        _ = bench.submit(costs: [Double](repeating: 1, count: 40))
        var leases = bench.takeLeases()
        #expect(counts(leases) == [first: 16, second: 16])
        // The first worker is done with all of its leases again and again: it does not take the leases of the other.
        for _ in 0..<3 {
            for lease in leases where lease.session == first { bench.finish(lease) }
            leases = leases.filter { $0.session == second } + bench.takeLeases()
        }
        #expect(counts(leases) == [second: 16])
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a slow worker does not fill its group while a fast one would finish sooner")
    func speeds() {
        var bench = Bench()
        let fast = bench.join(1, slots: 8)
        let slow = bench.join(2, slots: 8)
        _ = bench.submit(1, costs: [1, 1])
        for lease in bench.takeLeases() { bench.finish(lease, milliseconds: lease.session == fast ? 10 : 100) }
        _ = bench.submit(2, costs: [Double](repeating: 1, count: 12))
        let counts = counts(bench.takeLeases())
        // Each gets one. The fast worker has six, its share; then it would still be done sooner.
        #expect(counts[fast] == 6)
        #expect(counts[slow] == 1)
    }

    @Test("progress of one task of a group renews the leases of all")
    func progress() {
        var bench = Bench()
        let worker = bench.join(1, slots: 4)
        _ = bench.submit(costs: [1, 1, 1, 1])
        let leases = bench.takeLeases()
        bench.tell(.accepted(worker, leases.map(\.lease)))
        for _ in 0..<20 {
            #expect(bench.pass(5000).ends.isEmpty)
            bench.tell(.progressed(worker, leases[2].lease))
        }
        let taken = leases.flatMap { bench.finish($0).taken }
        #expect(Set(taken) == [0, 1, 2, 3])
        // Without progress they run out, all at once.
        _ = bench.submit(2, costs: [1, 1, 1])
        let others = bench.takeLeases()
        bench.tell(.accepted(worker, others.map(\.lease)))
        var told: [ClusterAction] = []
        for _ in 0..<7 {
            told += bench.pass(5000)
            told += bench.tell(.heard(worker))
        }
        #expect(told.contains(.recall(worker, others.map(\.lease))))
    }

    @Test("a death counts against the group that was computed, then only against the task that is tried alone")
    func deaths() {
        var bench = Bench { $0.massDeathWindow = .seconds(1) }
        var number: UInt64 = 1
        func join(_ bench: inout Bench) -> SessionID {
            defer { number += 1 }
            return bench.join(1, instance: number, session: number, slots: 4)
        }
        var worker = join(&bench)
        _ = bench.submit(costs: [Double](repeating: 1, count: 6))
        var failures: [JobFailure] = []
        var culprit: Int?
        var deaths = 0
        while failures.isEmpty, deaths < 10 {
            let leases = bench.takeLeases()
            culprit = culprit ?? leases.first?.key.index
            bench.tell(.accepted(worker, leases.map(\.lease)))
            // Every worker dies of the one task, and computes the others that are before it.
            for lease in leases {
                if lease.key.index == culprit { break }
                bench.finish(lease)
            }
            bench.tell(.disconnected(worker, undelivered: []))
            failures = bench.pass(3500).failures
            bench.actions.removeAll()
            deaths += 1
            if failures.isEmpty { worker = join(&bench) }
        }
        #expect(deaths == 3)
        guard case .poisoned(let key, _) = failures.first else {
            Issue.record("\(failures)")
            return
        }
        #expect(key.index == culprit)
    }

    // MARK: The worker

    /// Gives the worker leases 1 to `count`, one right after the other.
    private func lease(_ count: UInt64, to worker: inout WorkerMachine, _ now: Instant) {
        for number in 1...count {
            _ = worker.handle(.leased(LeaseID(number), ContextID(1), more: number < count), now: now)
        }
    }

    private func joined(slots: Int, limit: Int? = nil, _ now: Instant) -> WorkerMachine {
        var parameters = WorkerParameters()
        parameters.slots = slots
        var worker = WorkerMachine(parameters: parameters, now: now)
        _ = worker.handle(.groupLimit(limit ?? slots), now: now)
        _ = worker.handle(.tick, now: now)
        _ = worker.handle(.welcomed(WorkerTerms(), keep: []), now: now)
        _ = worker.handle(.openContext(ContextID(1)), now: now)
        _ = worker.handle(.contextOpened(ContextID(1), ok: true), now: now)
        return worker
    }

    private func groups(_ actions: [WorkerAction]) -> [[UInt64]] {
        actions.compactMap { action in
            if case .compute(let group) = action { group.map(\.rawValue) } else { nil }
        }
    }

    @Test("a worker waits for announced leases, and computes them together")
    func gathering() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 4, now)
        func lease(_ number: UInt64, more: Bool) -> [[UInt64]] {
            groups(worker.handle(.leased(LeaseID(number), ContextID(1), more: more), now: now))
        }
        #expect(lease(1, more: true).isEmpty && lease(2, more: true).isEmpty)
        #expect(lease(3, more: false) == [[1, 2, 3]])
        // The next group gathers while the first is computed. It begins when the first is done, without a wait.
        for number in 4...9 as ClosedRange<UInt64> { #expect(lease(number, more: number < 9).isEmpty) }
        var begun: [[UInt64]] = []
        for number in 1...3 as ClosedRange<UInt64> {
            #expect(begun.isEmpty)
            begun += groups(worker.handle(.computed(LeaseID(number)), now: now))
        }
        #expect(begun == [[4, 5, 6, 7]])
        for number in 4...7 as ClosedRange<UInt64> { begun += groups(worker.handle(.computed(LeaseID(number)), now: now)) }
        #expect(begun.last == [8, 9])
    }

    @Test("a lease that was announced and does not come holds nothing up")
    func lostLease() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 4, now)
        #expect(groups(worker.handle(.leased(LeaseID(1), ContextID(1), more: true), now: now)).isEmpty)
        let due = now + .milliseconds(100)
        #expect(worker.nextDeadline() == due)
        #expect(groups(worker.handle(.tick, now: due)) == [[1]])
        // A full group does not wait.
        _ = worker.handle(.computed(LeaseID(1)), now: due)
        var begun: [[UInt64]] = []
        for number in 2...5 as ClosedRange<UInt64> {
            begun += groups(worker.handle(.leased(LeaseID(number), ContextID(1), more: true), now: due))
        }
        #expect(begun == [[2, 3, 4, 5]])
    }

    @Test("a task that is to be computed alone shares no call")
    func alone() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 4, now)
        var begun: [[UInt64]] = []
        for number in 1...5 as ClosedRange<UInt64> {
            let event = WorkerEvent.leased(LeaseID(number), ContextID(1), alone: number == 3 || number == 4, more: number < 5)
            begun += groups(worker.handle(event, now: now))
        }
        for number in 1...5 as ClosedRange<UInt64> { begun += groups(worker.handle(.computed(LeaseID(number)), now: now)) }
        #expect(begun == [[1, 2], [3], [4], [5]])
    }

    @Test("the tasks of a cancelled group that have not begun are dropped, and a drain finishes the group")
    func cancelling() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 2, now)
        lease(4, to: &worker, now)
        let cancelled = worker.handle(.cancelled([LeaseID(1), LeaseID(3)]), now: now)
        #expect(cancelled == [.abandon([LeaseID(1)]), .forget(LeaseID(3)), .sendCancelled([LeaseID(3)])])
        let drained = worker.handle(.drainRequested, now: now)
        #expect(drained.contains(.sendCancelled([LeaseID(4)])))
        #expect(worker.isBusy)
        for number in 1...2 as ClosedRange<UInt64> {
            #expect(worker.handle(.computed(LeaseID(number)), now: now).contains(.sendOutcome(LeaseID(number))))
        }
        #expect(worker.handle(.acknowledged([LeaseID(1), LeaseID(2)]), now: now).contains(.end(.drained)))
    }

    @Test("a drain gives back all but the call under way, whatever the slots", arguments: [(1, 1), (2, 2), (4, 2), (8, 3)])
    func drainedCall(limit: Int, callSize: Int) {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 8, limit: limit, now)
        var begun: [[UInt64]] = []
        for number in 1...UInt64(2 * limit) {
            begun += groups(worker.handle(.leased(LeaseID(number), ContextID(1), more: number < 2 * limit), now: now))
        }
        let group = Array(1...UInt64(limit))
        #expect(begun == [group])
        _ = worker.handle(.terminate, now: now)
        for number in group.prefix(callSize) {
            #expect(groups(worker.handle(.computed(LeaseID(number)), now: now)).isEmpty)
        }
        let back = group.dropFirst(callSize).map(LeaseID.init)
        let returned = worker.handle(.returned(back), now: now)
        #expect(returned.contains(.sendCancelled(back)) || back.isEmpty)
        #expect(groups(returned).isEmpty && !worker.isBusy)
        #expect(worker.handle(.acknowledged(group.prefix(callSize).map(LeaseID.init)), now: now).contains(.end(.drained)))
    }

    @Test("tasks that did not go into a call wait in their order, and those that were cancelled meanwhile do not")
    func returnedTasks() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 4, now)
        lease(6, to: &worker, now)
        // The second is under way in a call whose first task is wanted. The third may be too, for all that the machine knows.
        #expect(worker.handle(.cancelled([LeaseID(2), LeaseID(3)]), now: now) == [.abandon([LeaseID(2), LeaseID(3)])])
        _ = worker.handle(.computed(LeaseID(1)), now: now)
        #expect(worker.handle(.computed(LeaseID(2)), now: now).contains(.sendOutcome(LeaseID(2))))
        let actions = worker.handle(.returned([LeaseID(3), LeaseID(4)]), now: now)
        #expect(actions.prefix(2) == [.forget(LeaseID(3)), .sendCancelled([LeaseID(3)])])
        #expect(groups(actions) == [[4, 5, 6]])
        // Leases that a new session does not keep are dropped in the same way.
        _ = worker.handle(.reset, now: now)
        let joined = worker.handle(.welcomed(WorkerTerms(), keep: [LeaseID(4), LeaseID(6)]), now: now)
        #expect(!joined.contains { if case .abandon = $0 { true } else { false } }, "a late result still counts")
        _ = worker.handle(.computed(LeaseID(4)), now: now)
        let again = worker.handle(.returned([LeaseID(5), LeaseID(6)]), now: now)
        #expect(again.contains(.sendCancelled([LeaseID(5)])))
        #expect(groups(again) == [[6]])
    }

    @Test("a call that nobody waits for is stopped and given back, and the next group begins")
    func stoppedCall() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 2, now)
        lease(4, to: &worker, now)
        #expect(worker.handle(.cancelled([LeaseID(1)]), now: now) == [.abandon([LeaseID(1)])])
        #expect(worker.handle(.cancelled([LeaseID(2)]), now: now) == [.abandon([LeaseID(2)])])
        #expect(worker.isBusy)
        let stopped = worker.handle(.returned([LeaseID(1), LeaseID(2)]), now: now)
        #expect(stopped.contains(.sendCancelled([LeaseID(1), LeaseID(2)])))
        #expect(groups(stopped) == [[3, 4]])
        // A result that was ready before is sent, and only the other lease is given back.
        _ = worker.handle(.cancelled([LeaseID(3), LeaseID(4)]), now: now)
        #expect(worker.handle(.computed(LeaseID(3)), now: now).contains(.sendOutcome(LeaseID(3))))
        #expect(worker.handle(.returned([LeaseID(3), LeaseID(4)]), now: now).contains(.sendCancelled([LeaseID(4)])))
        #expect(!worker.isBusy)
    }

    @Test("tasks that others get are dropped if they were not begun, and finished otherwise")
    func recalled() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 2, now)
        lease(4, to: &worker, now)
        let all = (1...4 as ClosedRange<UInt64>).map(LeaseID.init)
        #expect(
            worker.handle(.recalled(all), now: now) == [
                .forget(all[2]), .forget(all[3]), .sendCancelled(Array(all[2...])),
            ])
        #expect(worker.handle(.computed(all[0]), now: now).contains(.sendOutcome(all[0])))
        #expect(worker.handle(.returned([all[1]]), now: now).contains(.sendCancelled([all[1]])))
        #expect(!worker.isBusy)
    }

    @Test("tasks that failed together are computed one by one, and those that wait can be cancelled")
    func failedTogether() {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 4, now)
        lease(6, to: &worker, now)
        // The fourth task did not go into the call.
        #expect(worker.handle(.failedTogether((1...3).map(LeaseID.init)), now: now).isEmpty)
        #expect(groups(worker.handle(.returned([LeaseID(4)]), now: now)) == [[1]])
        let cancelled = worker.handle(.cancelled([LeaseID(2)]), now: now)
        #expect(cancelled == [.forget(LeaseID(2)), .sendCancelled([LeaseID(2)])])
        #expect(groups(worker.handle(.computed(LeaseID(1)), now: now)) == [[3]])
        #expect(groups(worker.handle(.computed(LeaseID(3)), now: now)) == [[4, 5, 6]])
    }

    @Test("a drain acts after a call that failed", arguments: [true, false])
    func drainedFailure(duringCall: Bool) {
        let now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 3, now)
        lease(3, to: &worker, now)
        let all = (1...3 as ClosedRange<UInt64>).map(LeaseID.init)
        if duringCall {
            #expect(!worker.handle(.terminate, now: now).contains { if case .sendCancelled = $0 { true } else { false } })
            let actions = worker.handle(.failedTogether(all), now: now)
            #expect(actions.contains(.sendCancelled(all)) && actions.last == .end(.drained))
        } else {
            #expect(groups(worker.handle(.failedTogether(all), now: now)) == [[1]])
            #expect(worker.handle(.terminate, now: now).contains(.sendCancelled(Array(all[1...]))))
            #expect(groups(worker.handle(.computed(all[0]), now: now)).isEmpty)
            #expect(worker.handle(.acknowledged([all[0]]), now: now).contains(.end(.drained)))
        }
    }

    @Test("a drain that runs out of time gives back nothing of the call under way")
    func overdueDrain() {
        var now = Instant(nanoseconds: 1_000_000_000)
        var worker = joined(slots: 2, now)
        lease(4, to: &worker, now)
        let grace = WorkerParameters().drainGrace
        let due = now + grace
        #expect(worker.handle(.terminate, now: now).contains(.sendCancelled([LeaseID(3), LeaseID(4)])))
        while now < due {
            #expect(worker.isJoined)
            now = now + .seconds(1)
            let actions = worker.handle(.heard, now: now)
            if now < due { #expect(actions.isEmpty) } else { #expect(actions == [.sendBye, .end(.drained)]) }
        }
        #expect(!worker.isJoined)
    }

    @Test("a limit that changes between HELLO and WELCOME reaches the coordinator, also through another WELCOME")
    func lateCredit() {
        let now = Instant(nanoseconds: 1_000_000_000)
        func welcome(_ worker: inout WorkerMachine) -> Bool {
            worker.handle(.welcomed(WorkerTerms(), keep: []), now: now).contains(.sendCredit)
        }
        var parameters = WorkerParameters()
        parameters.slots = 8
        var worker = WorkerMachine(parameters: parameters, now: now)
        _ = worker.handle(.groupLimit(2), now: now)
        #expect(worker.handle(.tick, now: now).contains(.sendHello(held: [], unacked: [])))
        var same = worker
        #expect(!welcome(&same), "HELLO has told it already")
        #expect(worker.handle(.groupLimit(4), now: now).isEmpty, "there is no session to say it in")
        #expect(welcome(&worker))
        // A slow coordinator answers each HELLO, and only its last session counts.
        #expect(welcome(&worker))
        #expect(worker.handle(.groupLimit(100), now: now).contains(.sendCredit))
        #expect(worker.groupLimit == 8)
        #expect(worker.handle(.groupLimit(8), now: now).isEmpty)
        // The next HELLO tells it.
        _ = worker.handle(.reset, now: now)
        #expect(!welcome(&worker))
    }
}
