import Cluster
import Sentences
import Testing

@Suite("Dispatch")
struct DispatchTests {
    @Test("a worker never holds more than its credit, and gets the expensive tasks first")
    func creditAndCost() {
        var bench = Bench()
        let worker = bench.join(1, slots: 2)
        bench.tell(.credit(worker, 2))
        _ = bench.submit(costs: [1, 5, 3, 9])
        #expect(bench.takeLeases().map(\.key.index) == [3, 1])
        bench.tell(.credit(worker, 3))
        #expect(bench.takeLeases().map(\.key.index) == [2])
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("nothing is leased before the context is open")
    func contextFirst() {
        var bench = Bench()
        _ = bench.join(1)
        bench.tell(.submitted(JobID(1), WorkerNeeds(model: "m")))
        let opening = bench.tell(.barrier(JobID(1), serial: 0, [ClusterTask(context: ContextID(4))]))
        #expect(opening == [.openContext(SessionID(1), ContextID(4))])
        #expect(bench.pass(4500).contains(.openContext(SessionID(1), ContextID(4))) == false)
        #expect(bench.takeLeases().isEmpty)
        // Lost in transit: the worker is asked again in time, and now answers.
        #expect(bench.pass(500).contains(.openContext(SessionID(1), ContextID(4))))
        #expect(bench.takeLeases().count == 1)
    }

    @Test("work is spread before anybody gets a second task")
    func spread() {
        var bench = Bench()
        for number in 1...3 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1, 1, 1])
        #expect(Set(bench.takeLeases().map(\.session)).count == 3)
    }

    @Test("a worker that was slow with one model gets its share of another's tasks")
    func speedsOfModels() {
        var bench = Bench()
        let both = bench.join(1, models: ["m", "n"])
        let other = bench.join(2)
        _ = bench.submit(1, costs: [1, 1], model: "n")
        let slow = bench.takeLeases()
        #expect(slow.map(\.session) == [both, both])
        // The first worker is busy, so the second one alone shows its speed with the other model.
        _ = bench.submit(2, costs: [1], model: "m")
        let fast = bench.takeLeases()
        #expect(fast.map(\.session) == [other])
        for lease in fast { bench.finish(lease, milliseconds: 10) }
        for lease in slow { bench.finish(lease, milliseconds: 100) }
        _ = bench.submit(3, costs: [1, 1], model: "m")
        #expect(Set(bench.takeLeases().map(\.session)) == [both, other])
    }

    @Test("a slow worker gets fewer tasks")
    func speeds() {
        var bench = Bench()
        let fast = bench.join(1)
        _ = bench.join(2)
        _ = bench.submit(costs: [Double](repeating: 1, count: 40))
        var counts: [SessionID: Int] = [:]
        // The worker that is due first finishes next. The second worker takes ten times as long.
        var running: [(due: Int, lease: (session: SessionID, lease: LeaseID, key: TaskKey))] = []
        var free: [SessionID: Int] = [:]
        while true {
            for lease in bench.takeLeases() {
                let time = lease.session == fast ? 10 : 100
                let start = max(free[lease.session] ?? 0, Int(bench.now.nanoseconds / 1_000_000))
                free[lease.session] = start + time
                running.append((start + time, lease))
            }
            guard let next = running.indices.min(by: { running[$0].due < running[$1].due }) else { break }
            let (due, lease) = running.remove(at: next)
            bench.now = max(bench.now, Instant(nanoseconds: Int64(due) * 1_000_000))
            counts[lease.session, default: 0] += 1
            bench.finish(lease, milliseconds: lease.session == fast ? 10 : 100)
        }
        #expect(counts.values.reduce(0, +) >= 40)
        #expect((counts[fast] ?? 0) >= 32)
    }

    @Test("short work of another kind says nothing about a worker's speed")
    func kinds() {
        var bench = Bench()
        let workers = [bench.join(1), bench.join(2)]
        let job = bench.submit(costs: [1])
        // One worker encodes the prompt: a small cost, which takes long for its size.
        let encoding = bench.takeLeases()
        #expect(encoding.count == 1)
        bench.finish(encoding[0], milliseconds: 100)
        bench.tell(
            .barrier(job, serial: 1, (0..<60).map { _ in ClusterTask(context: ContextID(1), cost: 500, kind: 1) }))
        #expect(shares(of: workers, milliseconds: [10, 10], &bench) == [30, 30])
    }

    @Test("a worker whose first result was slow gets work again, and then its part")
    func recovery() {
        var bench = Bench()
        let workers = [bench.join(1), bench.join(2)]
        let job = bench.submit(costs: [1, 1])
        for lease in bench.takeLeases() { bench.finish(lease, milliseconds: lease.session == workers[0] ? 10 : 400) }
        for serial in 1...4 {
            bench.tell(.barrier(job, serial: serial, (0..<60).map { _ in ClusterTask(context: ContextID(1)) }))
            let shares = shares(of: workers, milliseconds: [10, 10], &bench)
            if serial > 1 { #expect(shares[1] >= 24, "\(shares)") }
        }
    }

    /// Lets workers compute the tasks that they are given, and counts them. A worker computes one task after the other.
    private func shares(of workers: [SessionID], milliseconds: [Int], _ bench: inout Bench) -> [Int] {
        var (counts, free) = ([Int](repeating: 0, count: workers.count), [Int](repeating: 0, count: workers.count))
        var running: [(due: Int, worker: Int, lease: (session: SessionID, lease: LeaseID, key: TaskKey))] = []
        while true {
            for lease in bench.takeLeases() {
                guard let worker = workers.firstIndex(of: lease.session) else { continue }
                free[worker] = max(free[worker], Int(bench.now.nanoseconds / 1_000_000)) + milliseconds[worker]
                running.append((free[worker], worker, lease))
            }
            guard let next = running.indices.min(by: { running[$0].due < running[$1].due }) else { return counts }
            let (due, worker, lease) = running.remove(at: next)
            bench.now = max(bench.now, Instant(nanoseconds: Int64(due) * 1_000_000))
            counts[worker] += 1
            bench.finish(lease, milliseconds: milliseconds[worker])
        }
    }

    @Test("a job that is planned later than its successors comes before them all the same")
    func plannedLate() {
        var bench = Bench()
        for number in [2, 3, 1] as [UInt64] { bench.tell(.submitted(JobID(number), WorkerNeeds(model: "m"))) }
        for number in [3, 2, 1] as [UInt64] {
            bench.tell(.barrier(JobID(number), serial: 0, [ClusterTask(context: ContextID(number))]))
        }
        _ = bench.join(1)
        var order: [JobID] = []
        while case let leases = bench.takeLeases(), !leases.isEmpty {
            order += leases.map(\.key.job)
            for lease in leases { bench.finish(lease) }
        }
        #expect(order == [JobID(1), JobID(2), JobID(3)])
    }

    @Test("jobs run in the order of submission, and a later one fills the gaps of an earlier one")
    func order() {
        var bench = Bench()
        _ = bench.join(1)
        let first = bench.submit(1, costs: [1])
        let second = bench.submit(2, costs: [1, 1])
        let leases = bench.takeLeases()
        #expect(leases.map(\.key.job) == [first, second])
        // The first job is between barriers: the second goes on.
        bench.finish(leases[0])
        let gap = bench.takeLeases()
        #expect(gap.map(\.key.job) == [second])
        bench.openAll(
            bench.tell(.barrier(first, serial: 1, [ClusterTask(context: ContextID(1)), ClusterTask(context: ContextID(1))])))
        bench.finish(leases[1])
        #expect(bench.takeLeases().map(\.key.job) == [first])
    }

    @Test("workers without the model get nothing of the job")
    func models() {
        var bench = Bench()
        _ = bench.join(1, models: ["other"])
        _ = bench.submit(costs: [1])
        #expect(bench.takeLeases().isEmpty)
        _ = bench.join(2)
        #expect(bench.takeLeases().map(\.session) == [SessionID(2)])
    }

    @Test("a job stays with the numerics class that began it")
    func numericsClass() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a")
        _ = bench.join(2, numericsClass: "b")
        let job = bench.submit(costs: [1, 1, 1, 1])
        #expect(Set(bench.takeLeases().map(\.session)) == [first])
        #expect(bench.machine.numericsClass(of: job) == "a")
    }

    @Test("a job that asks for a precision gets workers of this precision only, and others get them all")
    func precision() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a", precisions: ["f32"])
        let second = bench.join(2, numericsClass: "b", precisions: ["bf16"])
        let third = bench.join(3, numericsClass: "c", precisions: ["f32", "bf16"])
        _ = bench.submit(1, costs: [1, 1, 1, 1], precision: "bf16")
        let narrow = Set(bench.takeLeases().map(\.session))
        #expect(narrow.count == 1 && narrow.isSubset(of: [second, third]))
        let free = Set([first, second, third]).subtracting(narrow)
        _ = bench.submit(2, costs: [1, 1, 1, 1], precision: "f32")
        let wide = Set(bench.takeLeases().map(\.session))
        #expect(wide.count == 1 && wide.isSubset(of: [first, third]) && !wide.isDisjoint(with: free))
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a job whose precision nobody has says so, is sent to nobody, and goes on with the first that has it")
    func precisionNobodyHas() {
        for precisions in [["f32"], [], ["f16", ""]] {
            var bench = Bench()
            _ = bench.join(1, precisions: precisions)
            _ = bench.join(2, models: ["other"], precisions: ["bf16"])
            let job = bench.submit(costs: [1, 1], precision: "bf16")
            let said = bench.pass(3000)
            #expect(bench.takeLeases().isEmpty)
            let reasons = said.compactMap { action in
                if case .waiting(job, let reason?) = action { return reason.spelled(\.key) }
                return nil
            }
            #expect(
                reasons.count == 1 && reasons[0].contains("(of 2)") && reasons[0].contains("computes in bf16"), "\(reasons)")
            let late = bench.join(3, precisions: ["bf16"])
            _ = bench.pass(500)
            #expect(Set(bench.takeLeases().map(\.session)) == [late])
        }
        // Without workers for the model, the sentence names the model as missing.
        var bench = Bench()
        _ = bench.join(1, models: ["other"], precisions: ["bf16"])
        let job = bench.submit(costs: [1], precision: "bf16")
        #expect(bench.pass(3000).contains(.waiting(job, "no connected worker (of 1) has the job's model")))
    }

    @Test("a worker with too little memory in its precision gets no task; a worker that does not know its memory does")
    func memory() {
        var bench = Bench()
        let small = bench.join(1, memory: 99)
        let enough = bench.join(2, memory: 100)
        let unknown = bench.join(3)
        let narrow = bench.join(4, precisions: ["bf16"], memory: 60)
        func takers(_ memory: [String: Int], _ precision: String? = nil) -> Set<SessionID> {
            var bench = bench
            _ = bench.submit(costs: [1, 1, 1, 1], precision: precision, memory: memory)
            return Set(bench.takeLeases().map(\.session))
        }
        #expect(takers(["f32": 100, "bf16": 61]) == [enough, unknown])
        #expect(takers(["f32": 100, "bf16": 60]) == [enough, unknown, narrow])
        #expect(takers(["f32": 100], "f32") == [enough, unknown])
        #expect(takers(["f32": 99], "f32") == [small, enough, unknown])
        #expect(takers(["f32": 1000]) == [unknown, narrow], "nothing is known of bf16")
        #expect(takers([:]) == [small, enough, unknown, narrow])
    }

    @Test("a worker that drains counts no more among those that a new job is held against")
    func stayingWorkers() {
        var bench = Bench()
        let first = bench.join(1, memory: 5)
        _ = bench.join(2, memory: 7)
        #expect(bench.machine.stayingWorkers.map(\.memoryBytes).sorted() == [5, 7])
        bench.tell(.draining(first))
        #expect(bench.machine.stayingWorkers.map(\.memoryBytes) == [7])
    }

    @Test("a job that needs more memory than any worker has says so, and begins with the first that has it")
    func memoryNobodyHas() {
        var bench = Bench()
        _ = bench.join(1, memory: 1 << 20)
        _ = bench.join(2, memory: 2 << 20)
        let job = bench.submit(costs: [1], memory: ["f32": 3 << 20])
        let reasons = bench.pass(3000).compactMap { action in
            if case .waiting(job, let reason?) = action { return reason.spelled(\.key) }
            return nil
        }
        #expect(reasons.count == 1 && reasons[0].contains("(of 2)") && reasons[0].contains("3 MiB"), "\(reasons)")
        #expect(bench.takeLeases().isEmpty)
        let large = bench.join(3, memory: 3 << 20)
        _ = bench.pass(500)
        #expect(bench.takeLeases().map(\.session) == [large])
    }

    @Test("a job that lost its class fails only where a worker of its precision waits")
    func classLostWithPrecision() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a", precisions: ["bf16"])
        _ = bench.submit(costs: [1, 1], precision: "bf16")
        bench.finish(bench.takeLeases()[0])
        bench.tell(.left(first))
        _ = bench.join(2, numericsClass: "b", precisions: ["f32"])
        #expect(bench.pass(120_000).failures.isEmpty)
        _ = bench.join(3, numericsClass: "c", precisions: ["bf16"])
        #expect(bench.pass(61_000).failures.count == 1)
    }

    @Test("a class that went before any result came does not bind the job")
    func classWithoutResults() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a")
        let job = bench.submit(costs: [1])
        #expect(bench.takeLeases().count == 1)
        bench.tell(.left(first))
        _ = bench.join(2, numericsClass: "b")
        _ = bench.pass(500)
        #expect(bench.takeLeases().map(\.session) == [SessionID(2)])
        #expect(bench.machine.numericsClass(of: job) == "b")
    }

    @Test("a draining worker whose results are still to come keeps the job for its class")
    func classOfDrainingWorker() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a")
        _ = bench.join(2, numericsClass: "b")
        let job = bench.submit(costs: [1, 1, 1, 1])
        let leases = bench.takeLeases()
        #expect(leases.map(\.session) == [first, first])
        bench.tell(.accepted(first, leases.map(\.lease)))
        bench.tell(.draining(first))
        _ = bench.pass(2000)
        #expect(bench.takeLeases().isEmpty)
        #expect(bench.finish(leases[0]).taken == [leases[0].key.index])
        bench.tell(.cancelled(first, [leases[1].lease]))
        bench.tell(.left(first))
        _ = bench.pass(2000)
        #expect(bench.takeLeases().isEmpty)
        #expect(bench.machine.numericsClass(of: job) == "a")
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a lost worker that returns with a result cannot mix it into what another class took over")
    func classOfReturningWorker() throws {
        var bench = Bench()
        _ = bench.join(1, numericsClass: "a")
        let job = bench.submit(costs: [1])
        let lost = bench.takeLeases()[0]
        bench.tell(.accepted(lost.session, [lost.lease]))
        #expect(bench.pass(11_000).ends == [.silent])
        _ = bench.join(2, numericsClass: "b")
        _ = bench.pass(500)
        let taken = bench.takeLeases()
        #expect(taken.map(\.session) == [SessionID(2)])
        let back = bench.join(1, session: 9, numericsClass: "a", held: [lost.lease])
        let late = bench.tell(.result(back, lost.lease, computeTime: .milliseconds(1)))
        #expect(late.taken.isEmpty)
        #expect(late.verdicts == [.stale])
        #expect(bench.finish(try #require(taken.first)).taken == [0])
        #expect(bench.machine.numericsClass(of: job) == "b")
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a worker that changes its class in mid-task loses the task")
    func classChanged() throws {
        var bench = Bench()
        _ = bench.join(1, numericsClass: "a")
        _ = bench.submit(costs: [1])
        let lease = bench.takeLeases()[0]
        _ = bench.join(2, numericsClass: "a")
        let changed = bench.join(1, session: 9, numericsClass: "b", held: [lease.lease])
        bench.actions.removeAll()
        #expect(bench.tell(.result(changed, lease.lease, computeTime: .milliseconds(1))).verdicts == [.stale])
        let again = bench.takeLeases()
        #expect(again.map(\.session) == [SessionID(2)])
        #expect(bench.finish(try #require(again.first)).taken == [0])
        #expect(bench.machine.inconsistency() == nil)
    }

    @Test("a job whose class is gone for good fails where others wait, and waits where nobody does")
    func classLost() {
        var bench = Bench()
        let first = bench.join(1, numericsClass: "a")
        _ = bench.submit(costs: [1, 1])
        bench.finish(bench.takeLeases()[0])
        bench.tell(.left(first))
        #expect(bench.pass(120_000).failures.isEmpty)
        _ = bench.join(2, numericsClass: "b")
        #expect(bench.pass(61_000).failures.count == 1)
    }

    @Test("a straggler is tried a second time, the first result counts, the other try is cancelled")
    func straggler() {
        var bench = Bench()
        for number in 1...4 { _ = bench.join(UInt64(number)) }
        _ = bench.submit(costs: [1, 1, 1, 1])
        let leases = bench.takeLeases()
        for lease in leases.dropFirst() { bench.finish(lease) }
        bench.tell(.accepted(leases[0].session, [leases[0].lease]))
        _ = bench.pass(400)
        #expect(bench.takeLeases().isEmpty)
        _ = bench.pass(200)
        let copies = bench.takeLeases()
        #expect(copies.map(\.key) == [leases[0].key])
        #expect(copies.first?.session != leases[0].session)
        let won = bench.finish(copies[0])
        #expect(won.taken == [leases[0].key.index])
        #expect(won.contains(.cancel(leases[0].session, [leases[0].lease])))
        #expect(bench.finish(leases[0]).verdicts == [.duplicate])
    }

    @Test("cancelled tasks are told to their workers, and their results are stale")
    func ended() {
        var bench = Bench()
        _ = bench.join(1)
        let job = bench.submit(costs: [1, 1, 1])
        let leases = bench.takeLeases()
        let told = bench.tell(.ended(job))
        #expect(told.contains(.cancel(SessionID(1), leases.map(\.lease))), "in one message")
        #expect(bench.finish(leases[0]).verdicts == [.stale])
        #expect(bench.pass(60_000).contains { if case .lease = $0 { true } else { false } } == false)
    }
}
