import Cluster
import Sentences
import Testing

/// Workers that compute groups, and do not finish them.
@Suite("Faults in groups")
struct GroupFaultTests {
    /// The ways of a lease to end without a result.
    enum Ending: CaseIterable {
        case givenBack, damaged, undelivered, left, leftUnconfirmed, unconfirmed
        case failed, died, silent, hung, leftUnfinished

        /// Whether the worker may have computed the task, and not to its end.
        var isHarm: Bool { [.failed, .died, .silent, .hung, .leftUnfinished].contains(self) }
    }

    /// Lets time pass while a worker says that it lives.
    private func live(_ bench: inout Bench, _ worker: SessionID, seconds: Double) {
        for _ in 0..<Int(seconds * 2) {
            _ = bench.pass(500)
            bench.tell(.heard(worker))
        }
    }

    @Test("a task is computed alone after a try that went wrong, and only then", arguments: Ending.allCases)
    func suspects(_ ending: Ending) {
        var bench = Bench { $0.reconnectGrace = .milliseconds(0) }
        let worker = bench.join(1, slots: 4)
        _ = bench.submit(costs: [1, 1, 1, 1])
        #expect(bench.actions.alone == [0: false, 1: false, 2: false, 3: false])
        let leases = bench.takeLeases().map(\.lease)
        if ending != .unconfirmed, ending != .leftUnconfirmed { bench.tell(.accepted(worker, leases)) }
        switch ending {
        case .givenBack: bench.tell(.cancelled(worker, leases))
        case .damaged: for lease in leases { bench.tell(.failed(worker, lease, .transport, "")) }
        case .undelivered: bench.tell(.disconnected(worker, undelivered: leases))
        case .left:
            bench.tell(.draining(worker))
            bench.tell(.cancelled(worker, leases))
            bench.tell(.left(worker))
        case .leftUnconfirmed, .leftUnfinished:
            bench.tell(.draining(worker))
            bench.tell(.left(worker))
        case .unconfirmed: live(&bench, worker, seconds: 5)
        case .failed:
            // With no other worker left to try them, the job would fail.
            _ = bench.join(2, slots: 4)
            for lease in leases { bench.tell(.failed(worker, lease, .worker, "no memory")) }
        case .died: bench.tell(.disconnected(worker, undelivered: []))
        case .silent: _ = bench.pass(10_500)
        case .hung: live(&bench, worker, seconds: 31)
        }
        _ = bench.join(2, slots: 4)
        let alone = ending.isHarm
        #expect(bench.actions.alone == [0: alone, 1: alone, 2: alone, 3: alone])
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a worker that dies in the middle of a group loses that group, and the next one is not suspected")
    func death() {
        var bench = Bench { $0.reconnectGrace = .milliseconds(0) }
        let first = bench.join(1, slots: 4)
        let job = bench.submit(costs: [Double](repeating: 1, count: 8))
        let leases = bench.takeLeases()
        bench.tell(.accepted(first, leases.map(\.lease)))
        var taken = bench.finish(leases[0]).taken
        bench.tell(.disconnected(first, undelivered: []))
        _ = bench.join(2, slots: 4)
        let alone = bench.actions.alone
        let keys = leases.map(\.key.index)
        #expect(alone.count == 7)
        #expect(keys[1...3].allSatisfy { alone[$0] == true })
        #expect(keys[5...7].allSatisfy { alone[$0] == false })
        var actions: [ClusterAction] = []
        for lease in bench.takeLeases() { actions += bench.finish(lease) }
        taken += actions.taken
        #expect(taken.sorted() == Array(0..<8))
        #expect(actions.contains(.collected(job, serial: 0)))
    }

    @Test("results of a group that ran out of time still count, once")
    func expiry() throws {
        var bench = Bench()
        let slow = bench.join(1, slots: 4)
        let job = bench.submit(costs: [1, 1, 1, 1])
        let late = bench.takeLeases()
        bench.tell(.accepted(slow, late.map(\.lease)))
        live(&bench, slow, seconds: 31)
        #expect(bench.actions.contains(.recall(slow, late.map(\.lease))))
        bench.actions.removeAll()
        // Another worker gets two of them.
        let other = bench.join(2, slots: 1)
        let again = bench.takeLeases()
        try #require(again.count == 2 && again.allSatisfy { $0.session == other })
        let open = late.filter { lease in !again.contains { $0.key == lease.key } }
        // The first worker finishes a task after all, one that no other worker has.
        let early = try #require(open.first)
        #expect(bench.finish(early).taken == [early.key.index])
        // It finishes a task that the other worker computes too: the first result counts, and the copy is cancelled.
        let copy = again[0]
        let original = try #require(late.first { $0.key == copy.key })
        let finished = bench.finish(original)
        #expect(finished.taken == [copy.key.index] && finished.contains(.cancel(other, [copy.lease])))
        #expect(bench.finish(copy).verdicts == [.duplicate])
        var actions: [ClusterAction] = []
        var rest = [again[1]]
        while !rest.isEmpty {
            for lease in rest { actions += bench.finish(lease) }
            rest = bench.takeLeases()
        }
        let unfinished = late.map(\.key).filter { $0 != early.key && $0 != copy.key }
        #expect(Set(actions.taken) == Set(unfinished.map(\.index)) && unfinished.count == 2)
        #expect(actions.contains(.collected(job, serial: 0)))
        let last = try #require(late.first { $0.key == again[1].key })
        #expect(bench.finish(last).verdicts == [.duplicate])
    }

    @Test("a task of a group that is late is tried by an idle worker, and the first result counts", arguments: [true, false])
    func straggler(copyIsFirst: Bool) throws {
        var bench = Bench()
        for number in 1...2 { _ = bench.join(UInt64(number), slots: 4) }
        let job = bench.submit(costs: [Double](repeating: 1, count: 8))
        let leases = bench.takeLeases()
        for lease in leases { bench.tell(.accepted(lease.session, [lease.lease])) }
        bench.now = bench.now + .milliseconds(100)
        let late = try #require(leases.last)
        for lease in leases.dropLast() { bench.finish(lease) }
        #expect(bench.takeLeases().isEmpty)
        let told = bench.pass(1000)
        let copies = bench.takeLeases()
        #expect(copies.map(\.key) == [late.key] && copies[0].session != late.session)
        #expect(told.alone.values.allSatisfy { !$0 }, "it is late, not suspect")
        let (winner, loser) = copyIsFirst ? (copies[0], late) : (late, copies[0])
        let won = bench.finish(winner)
        #expect(won.taken == [late.key.index])
        #expect(won.contains(.cancel(loser.session, [loser.lease])) && won.contains(.collected(job, serial: 0)))
        #expect(bench.finish(loser).verdicts.allSatisfy { $0 != .accepted })
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a task that fails in every group fails its job, and its neighbours are computed once")
    func poison() {
        var bench = Bench()
        for number in 1...4 { _ = bench.join(UInt64(number), slots: 4) }
        _ = bench.submit(costs: [Double](repeating: 1, count: 16))
        var tries: [Int: Int] = [:]
        var workers: Set<SessionID> = []
        var failures: [JobFailure] = []
        for round in 0..<10 where failures.isEmpty {
            let alone = bench.actions.alone
            for lease in bench.takeLeases() {
                tries[lease.key.index, default: 0] += 1
                guard lease.key.index == 5 else {
                    bench.finish(lease)
                    continue
                }
                #expect(alone[5] == (round > 0))
                workers.insert(lease.session)
                failures = bench.tell(.failed(lease.session, lease.lease, .payload, "cursed")).failures
            }
        }
        #expect(failures == [.poisoned(TaskKey(job: JobID(1), barrier: 0, index: 5), "cursed")])
        #expect(workers.count == 3 && tries[5] == 3)
        #expect(tries.filter { $0.key != 5 }.values.allSatisfy { $0 == 1 })
    }

    @Test("a job that is cancelled in the middle of a group uses up credit until its worker has answered")
    func cancel() {
        var bench = Bench()
        let worker = bench.join(1, slots: 4)
        let job = bench.submit(1, costs: [Double](repeating: 1, count: 20))
        let old = bench.takeLeases()
        #expect(old.count == 8)
        bench.tell(.accepted(worker, old.map(\.lease)))
        let ended = bench.tell(.ended(job))
        #expect(ended.contains(.cancel(worker, old.map(\.lease))))
        _ = bench.submit(2, costs: [Double](repeating: 1, count: 20))
        #expect(bench.takeLeases().isEmpty)
        // The second group was not begun; the first comes to its end.
        bench.tell(.cancelled(worker, old[4...].map(\.lease)))
        #expect(bench.takeLeases().count == 4)
        for lease in old[..<4] { #expect(bench.finish(lease).verdicts == [.stale]) }
        #expect(bench.takeLeases().count == 4)
        #expect(bench.machine.inconsistency() == nil)
    }
}
