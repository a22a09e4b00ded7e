import Cluster
import Sentences
import Testing

@Suite("Failures")
struct FailureTests {
    @Test("a task is at fault when three distinct workers failed it")
    func poison() {
        var bench = Bench()
        for number in 1...5 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1])
        var workers: Set<SessionID> = []
        for round in 1...3 {
            guard let lease = bench.takeLeases().first else {
                Issue.record("no lease in round \(round)")
                return
            }
            workers.insert(lease.session)
            let actions = bench.tell(.failed(lease.session, lease.lease, .payload, "because"))
            #expect(actions.failures == (round == 3 ? [.poisoned(lease.key, "because")] : []))
        }
        #expect(workers.count == 3)
    }

    @Test("with fewer workers the task is at fault when each has failed it")
    func poisonWithTwo() {
        var bench = Bench()
        _ = bench.join(1)
        _ = bench.join(2)
        _ = bench.submit(costs: [1])
        for round in 1...2 {
            let lease = bench.takeLeases()[0]
            let failed = bench.tell(.failed(lease.session, lease.lease, .worker, "no memory")).failures
            #expect(failed.count == round - 1)
        }
    }

    @Test("lost and returned leases cost nobody anything", arguments: [FailureClass.transport, .cancelled])
    func blameless(_ failure: FailureClass) {
        var bench = Bench()
        _ = bench.join(1)
        _ = bench.submit(costs: [1])
        for _ in 0..<20 {
            let lease = bench.takeLeases()[0]
            #expect(bench.tell(.failed(lease.session, lease.lease, failure, "")).failures.isEmpty)
        }
    }

    @Test("twice not finite fails the job as numeric")
    func numeric() {
        var bench = Bench()
        for number in 1...3 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1])
        let first = bench.takeLeases()[0]
        #expect(bench.tell(.failed(first.session, first.lease, .nonFinite, "NaN")).failures.isEmpty)
        let second = bench.takeLeases()[0]
        #expect(second.session != first.session)
        #expect(bench.tell(.failed(second.session, second.lease, .nonFinite, "NaN")).failures == [.numeric(first.key, "NaN")])
    }

    @Test("a context that every worker refuses fails the job")
    func context() {
        var bench = Bench()
        let worker = bench.join(1)
        bench.tell(.submitted(JobID(1), WorkerNeeds(model: "m")))
        bench.tell(.barrier(JobID(1), serial: 0, [ClusterTask(context: ContextID(1))]))
        #expect(bench.tell(.contextFailed(worker, ContextID(1), "torn")).failures == [.context("torn")])
    }

    @Test("a worker that does not say that its context is ready is asked again, and after its time fails the job")
    func slowContext() {
        var bench = Bench {
            $0.contextResend = .seconds(5)
            $0.contextBudget = .seconds(20)
        }
        let worker = bench.join(1)
        bench.tell(.submitted(JobID(1), WorkerNeeds(model: "m")))
        let barrier = bench.tell(.barrier(JobID(1), serial: 0, [ClusterTask(context: ContextID(1))]))
        #expect(barrier.contains(.openContext(worker, ContextID(1))))
        var asked: [Int] = []
        var failures: [JobFailure] = []
        var failedAt = 0
        for second in 1...25 {
            bench.now = bench.now + .seconds(1)
            // It lives, but its model is slow.
            let actions = bench.tell(.heard(worker)) + bench.tell(.tick)
            if actions.contains(.openContext(worker, ContextID(1))) { asked.append(second) }
            if failures.isEmpty, !actions.failures.isEmpty { (failures, failedAt) = (actions.failures, second) }
        }
        #expect(asked == [5, 10, 15])
        #expect(failedAt == 20)
        #expect(failures == [.context("a worker needs more than 20 s to load the model")])

        // A worker that is ready in time gets its task, and is not asked again.
        var patient = Bench { $0.contextResend = .seconds(5) }
        let slow = patient.join(1)
        patient.tell(.submitted(JobID(1), WorkerNeeds(model: "m")))
        patient.tell(.barrier(JobID(1), serial: 0, [ClusterTask(context: ContextID(1))]))
        patient.now = patient.now + .seconds(4)
        patient.tell(.heard(slow))
        patient.tell(.contextReady(slow, ContextID(1)))
        #expect(patient.takeLeases().map(\.session) == [slow])
        patient.now = patient.now + .seconds(3)
        patient.tell(.heard(slow))
        #expect(!patient.tell(.tick).contains(.openContext(slow, ContextID(1))))
    }

    @Test("a worker that dies on a task is counted against it; deaths on different tasks at once are not")
    func deaths() {
        var bench = Bench { $0.reconnectGrace = .milliseconds(0) }
        for number in 1...3 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1])
        for round in 1...3 {
            let lease = bench.takeLeases()[0]
            #expect(bench.tell(.disconnected(lease.session, undelivered: [])).failures.count == (round == 3 ? 1 : 0))
        }

        var farm = Bench { $0.reconnectGrace = .milliseconds(0) }
        _ = farm.submit(costs: [1, 1])
        for round in 0..<6 {
            _ = farm.join(UInt64(2 * round + 1))
            _ = farm.join(UInt64(2 * round + 2))
            let leases = farm.takeLeases()
            #expect(leases.count == 2, "round \(round)")
            for lease in leases { #expect(farm.tell(.disconnected(lease.session, undelivered: [])).failures.isEmpty) }
        }

        // A task that never arrived cannot kill a worker.
        var late = Bench { $0.reconnectGrace = .milliseconds(0) }
        _ = late.submit(costs: [1])
        for round: UInt64 in 1...6 {
            _ = late.join(round)
            let lease = late.takeLeases()[0]
            #expect(late.tell(.disconnected(lease.session, undelivered: [lease.lease])).failures.isEmpty)
        }
    }

    @Test("a rejected result is charged to its worker and computed by another")
    func rejected() {
        var bench = Bench()
        _ = bench.join(1)
        _ = bench.join(2)
        let job = bench.submit(costs: [1, 1])
        let leases = bench.takeLeases()
        bench.finish(leases[0])
        #expect(bench.finish(leases[1]).contains(.collected(job, serial: 0)))
        bench.tell(.rejected(leases[0].key, .payload, "nonsense"))
        let again = bench.takeLeases()
        #expect(again.map(\.key) == [leases[0].key])
        #expect(again[0].session != leases[0].session)
        #expect(bench.finish(again[0]).contains(.collected(job, serial: 0)))
    }

    @Test("retries wait longer and longer")
    func retryDelays() {
        var bench = Bench {
            $0.retryDelays = [.milliseconds(0), .seconds(1), .seconds(4)]
            $0.poisonWorkers = 10
        }
        for number in 1...5 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1])
        for delay in [0, 1000, 4000, 4000] {
            let lease = bench.takeLeases()[0]
            bench.tell(.failed(lease.session, lease.lease, .payload, ""))
            if delay > 0 {
                _ = bench.pass(delay - 100)
                for number in 1...5 { bench.tell(.heard(SessionID(UInt64(number)))) }
                #expect(bench.machine.taskCounts(of: JobID(1))?.open == 1)
                _ = bench.pass(100)
            }
            #expect(bench.machine.taskCounts(of: JobID(1))?.leased == 1)
        }
    }
}
