import Sentences

/// The coordinator's side of the cluster as a value. It decides which worker computes which task, and what follows a death.
/// Events go in, actions come out. It has no clock, no randomness, no sockets and no hash order, so its events are enough to
/// repeat a run.
///
/// It promises at-least-once execution and exactly-once merging: a task may be tried many times, but `take` comes once for
/// each task.
public struct ClusterMachine: Sendable {
    public let parameters: ClusterParameters
    var sessions = OrderedTable<SessionID, Session>()
    /// The jobs in the order of submission, which is also the priority.
    var jobs = OrderedTable<JobID, Job>()
    /// Every try of the open barriers, also abandoned tries. The code looks up single entries and never walks the table.
    var leases: [LeaseID: Lease] = [:]
    /// Leases by barrier, so that they are forgotten together with it.
    var leasesOfJob: [JobID: [LeaseID]] = [:]
    var contextFailures: [ContextID: Sentence] = [:]
    var deaths: [DeathRecord] = []
    var lastTick: Instant?
    private var nextLease: UInt64
    var actions: [ClusterAction] = []

    /// - Parameter firstLease: the first lease number. Each start of a coordinator must use different numbers. Otherwise a
    ///   result for an earlier start could pass for a result of this one.
    public init(parameters: ClusterParameters = ClusterParameters(), firstLease: UInt64 = 1) {
        self.parameters = parameters
        nextLease = firstLease
    }

    /// Takes one event and returns the actions in order.
    public mutating func handle(_ event: ClusterEvent, now: Instant) -> [ClusterAction] {
        actions.removeAll(keepingCapacity: true)
        if let speaker = event.speaker {
            sessions.update(speaker) { $0.lastHeard = now }
            // The session ended meanwhile, so its event means nothing.
            if sessions[speaker] != nil { take(event, now) }
        } else {
            take(event, now)
        }
        dispatch(now)
        return actions
    }

    private mutating func take(_ event: ClusterEvent, _ now: Instant) {
        switch event {
        // Several jobs are planned at once, so an earlier one may come later.
        case .submitted(let id, let needs): jobs.insertInOrder(Job(needs), for: id)
        case .barrier(let id, let serial, let tasks): openBarrier(id, serial, tasks, now)
        case .rejected(let key, let failure, let text): reject(key, failure, text, now)
        case .ended(let id): endJob(id)
        case .tick: tick(now)
        case .joined(let id, let profile, let held): join(id, profile, held, now)
        case .disconnected(let id, let undelivered): disconnect(id, undelivered, now)
        case .heard: break
        case .credit(let id, let credit): sessions.update(id) { $0.profile.setCredit(credit) }
        case .contextReady(let id, let context):
            sessions.update(id) { if $0.contexts[context] != nil { $0.contexts[context] = .ready } }
        case .contextMissing(let id, let context): contextMissing(id, context, now)
        case .contextFailed(let id, let context, let text): contextFailed(id, context, text)
        case .accepted(let id, let leases): accept(id, leases, now)
        case .progressed(let id, let lease): renew(id, lease, now)
        case .result(let id, let lease, let time): result(id, lease, time, now)
        case .failed(let id, let lease, let failure, let text): fail(id, lease, failure, text, now)
        case .cancelled(let id, let leases): for lease in leases { fail(id, lease, .cancelled, "", now) }
        case .draining(let id): sessions.update(id) { if $0.state == .ready { $0.state = .draining } }
        case .left(let id): drop(id, .orderly, now)
        case .strike(let id): strike(id, now)
        }
    }

    // MARK: Jobs

    private mutating func openBarrier(_ id: JobID, _ serial: Int, _ tasks: [ClusterTask], _ now: Instant) {
        guard jobs[id] != nil else { return }
        forgetLeases(of: id)
        jobs.update(id) {
            // Threads of a barrier that builds on none are new.
            if tasks.first?.base == nil { $0.homes = [:] }
            $0.barrier = BarrierRecord(serial: serial, tasks: tasks)
        }
        if tasks.isEmpty { actions.append(.collected(id, serial: serial)) }
        closeUnusedContexts()
        for session in sessions.keys { openContexts(of: id, on: session, now) }
    }

    mutating func endJob(_ id: JobID) {
        guard jobs[id] != nil else { return }
        forgetLeases(of: id)
        jobs[id] = nil
        closeUnusedContexts()
    }

    mutating func failJob(_ id: JobID, _ failure: JobFailure) {
        guard jobs[id] != nil else { return }
        endJob(id)
        actions.append(.jobFailed(id, failure))
    }

    /// Cancels the open tries of a job's barrier and forgets its leases. Later results of these leases are stale.
    private mutating func forgetLeases(of id: JobID) {
        // All tries of the barrier are here, settled ones too. Sessions hold only a few of them.
        let gone = Set((leasesOfJob.removeValue(forKey: id) ?? []).filter { leases.removeValue(forKey: $0) != nil })
        guard !gone.isEmpty else { return }
        for session in sessions.keys { cancel(gone, on: session) }
    }

    /// Tells the holder of leases that nobody waits for them any more. It hears of all at once: when it stops the call of the
    /// first one, it does not begin the next.
    mutating func cancel(_ leases: Set<LeaseID>, on session: SessionID) {
        var told: [LeaseID] = []
        sessions.update(session) { session in
            for position in session.outstanding.indices where leases.contains(session.outstanding[position].lease) {
                let entry = session.outstanding[position]
                guard !entry.isCancelled || entry.isRecalled else { continue }
                session.outstanding[position].isCancelled = true
                session.outstanding[position].isRecalled = false
                told.append(session.outstanding[position].lease)
            }
        }
        if !told.isEmpty { actions.append(.cancel(session, told)) }
    }

    mutating func newLease() -> LeaseID {
        defer { nextLease += 1 }
        return LeaseID(nextLease)
    }

    // MARK: Contexts

    /// Asks a session to open the contexts of a job's barrier before the first task is sent.
    mutating func openContexts(of job: JobID, on id: SessionID, _ now: Instant) {
        guard let job = jobs[job], let barrier = job.barrier, !barrier.isCollected, let session = sessions[id],
            session.state == .ready, fits(session, job)
        else { return }
        for context in barrier.contexts { open(context, on: id, now) }
    }

    mutating func openContexts(of task: ClusterTask, on id: SessionID, _ now: Instant) {
        for context in task.contexts { open(context, on: id, now) }
    }

    private mutating func open(_ context: ContextID, on id: SessionID, _ now: Instant) {
        guard let session = sessions[id], session.contexts[context] == nil else { return }
        sessions.update(id) { $0.contexts[context] = .opening(since: now, asked: now) }
        actions.append(.openContext(id, context))
    }

    private mutating func contextMissing(_ id: SessionID, _ context: ContextID, _ now: Instant) {
        guard sessions[id]?.contexts[context] != nil else { return }
        sessions.update(id) { $0.contexts[context] = nil }
        open(context, on: id, now)
    }

    private mutating func contextFailed(_ id: SessionID, _ context: ContextID, _ text: Sentence) {
        contextFailures[context] = text
        sessions.update(id) { $0.contexts[context] = .failed }
    }

    private mutating func closeUnusedContexts() {
        let used = Set(jobs.values.flatMap { $0.barrier?.contexts ?? [] })
        for id in sessions.keys {
            for context in sessions[id]?.contexts.keys ?? [] where !used.contains(context) {
                sessions.update(id) { $0.contexts[context] = nil }
                actions.append(.closeContext(id, context))
            }
        }
        contextFailures = contextFailures.filter { used.contains($0.key) }
    }

    /// Whether a worker may run a job's tasks at all.
    func fits(_ session: Session, _ job: Job) -> Bool {
        job.needs.areMet(by: session.profile)
            && (job.numericsClass == nil || job.numericsClass == session.profile.numericsClass)
    }

    /// A task of an open barrier.
    func record(of key: TaskKey) -> TaskRecord? {
        guard let barrier = jobs[key.job]?.barrier, barrier.serial == key.barrier else { return nil }
        return barrier.tasks.indices.contains(key.index) ? barrier.tasks[key.index] : nil
    }

    /// Changes a task of an open barrier.
    mutating func update(_ key: TaskKey, _ body: (inout TaskRecord) -> Void) {
        guard var record = record(of: key) else { return }
        body(&record)
        jobs.update(key.job) { $0.barrier?.tasks[key.index] = record }
    }

    // MARK: Queries

    /// The workers that take leases or finish the leases they have.
    public var workerCount: Int {
        sessions.values.count { !$0.isLost }
    }

    /// The workers that take leases, or will again: all but those that drain.
    public var stayingWorkers: [WorkerProfile] { stayingSessions.map(\.profile) }

    var stayingSessions: [Session] { sessions.values.filter { $0.state != .draining } }

    /// The numerics class of a job; nil while none of its tasks has been leased.
    public func numericsClass(of job: JobID) -> String? { jobs[job]?.numericsClass }

    /// The numbers of open, leased and done tasks of a job's barrier.
    public func taskCounts(of job: JobID) -> (open: Int, leased: Int, done: Int)? {
        guard let barrier = jobs[job]?.barrier else { return nil }
        func count(_ status: TaskRecord.Status) -> Int { barrier.tasks.count { $0.status == status } }
        return (count(.open), count(.leased), count(.done))
    }
}
