import Sentences

/// The choice of a worker for each task.
extension ClusterMachine {
    private enum Choice {
        case session(SessionID)
        /// No worker now, but a worker later.
        case wait
        case fail(JobFailure)
    }

    /// Hands out all tasks that it can: jobs in the order of submission. So a later job fills the gaps of an earlier one.
    mutating func dispatch(_ now: Instant) {
        for id in jobs.keys {
            guard let barrier = jobs[id]?.barrier, !barrier.isCollected else { continue }
            if !barrier.queue.isEmpty { place(id, now) }
            if jobs[id]?.barrier?.queue.isEmpty == true { speculate(id, now) }
        }
    }

    private mutating func place(_ id: JobID, _ now: Instant) {
        var position = (jobs[id]?.barrier?.queue.count ?? 0) - 1
        while position >= 0 {
            // Many threads may wait for workers that are busy.
            if jobs[id]?.barrier?.tasks.first?.task.thread != nil, !sessions.values.contains(where: { $0.freeCredit > 0 }) {
                return
            }
            guard let (key, record) = queued(id, position) else { return }
            if let notBefore = record.notBefore, notBefore > now {
                position -= 1
                continue
            }
            switch choose(for: key, record, now) {
            case .session(let session):
                jobs.update(id) { _ = $0.barrier?.queue.remove(at: position) }
                grant(key, record, to: session, isSpeculative: false, now)
            case .wait:
                // Tasks without a failure are alike: if one must wait, so must the rest. Threads wait each for its own worker.
                if record.failedWorkers.isEmpty && record.task.thread == nil { return }
            case .fail(let failure):
                failJob(id, failure)
                return
            }
            position -= 1
        }
    }

    /// A task of a job's queue. Nobody keeps the job while its tables change: then they would be copied for each task.
    private func queued(_ id: JobID, _ position: Int) -> (TaskKey, TaskRecord)? {
        guard let barrier = jobs[id]?.barrier, position < barrier.queue.count else { return nil }
        let key = TaskKey(job: id, barrier: barrier.serial, index: barrier.queue[position])
        return (key, barrier.tasks[key.index])
    }

    /// The worker that would finish the task first, if it has credit. If it has none, an idle worker takes the task, unless a
    /// busy one would probably finish in half the time. A worker that would finish the task before the others finish the rest
    /// of the barrier takes it in any case: nobody waits for it, and a worker that was slow once shows its speed again.
    private mutating func choose(for key: TaskKey, _ record: TaskRecord, _ now: Instant) -> Choice {
        guard let job = jobs[key.job] else { return .wait }
        if record.task.thread != nil, let home = home(of: record, job) ?? newHome(of: key, record, job, now) {
            return chooseHome(home, record, now)
        }
        let share = fairShare(record, job)
        var fitting = 0
        var untried = 0
        var contextsFailed = 0
        var opening = 0
        var best: (id: SessionID, finish: Double, isIdle: Bool)?
        var earliest = Double.infinity
        var (cost, speeds) = (Double(job.barrier?.queue.count ?? 0) * record.task.cost, 0.0)
        let kind = job.kind(of: record.task)
        let usual = usualSpeed(of: kind)
        for id in sessions.keys {
            guard let session = sessions[id], session.state != .draining, fits(session, job) else { continue }
            fitting += 1
            if record.failedWorkers.contains(session.profile.worker) { continue }
            untried += 1
            switch session.state(of: record.task) {
            case .failed: contextsFailed += 1
            case nil:
                if session.state == .ready { openContexts(of: record.task, on: id, now) }
                opening += 1
            case .opening: opening += 1
            case .ready:
                guard session.state == .ready else { continue }
                let speed = session.speeds[kind] ?? usual
                let finish = session.busySeconds(speed) + record.task.cost / speed
                earliest = min(earliest, finish)
                cost += session.busySeconds(speed) * speed
                speeds += speed
                guard session.freeCredit > 0, session.leaseCount(of: key.job) < share,
                    takesBytes(session, record.task.byteCount)
                else { continue }
                if best == nil || finish < best!.finish { best = (id, finish, session.isIdle) }
            }
        }
        if fitting > 0 && untried == 0 { return .fail(exhausted(key, record)) }
        if untried > 0 && contextsFailed == untried {
            let reason = record.task.contexts.first { contextFailures[$0] != nil }.flatMap { contextFailures[$0] }
            return .fail(.context(reason ?? "the workers refused the job's context"))
        }
        guard let best else { return .wait }
        // The last tasks do not queue behind others while workers become ready for them.
        if !best.isIdle, (job.barrier?.queue.count ?? 0) <= opening { return .wait }
        let isSoon = best.finish <= earliest * (best.isIdle ? 2 : 1) || best.finish <= cost / speeds
        return isSoon ? .session(best.id) : .wait
    }

    /// The session of the worker that keeps the thread of a task; nil if there is none, or it cannot take the task.
    private func home(of record: TaskRecord, _ job: Job) -> SessionID? {
        guard let instance = record.task.thread.flatMap({ job.homes[$0] }) else { return nil }
        return sessions.keys.first { sessions[$0]?.profile.instance == instance && canBeHome($0, record, job) }
    }

    /// A home for a thread without one. Each worker gets a run of neighbours, because neighbours share work. Threads that lost
    /// their home go to the worker with the fewest threads.
    private func newHome(of key: TaskKey, _ record: TaskRecord, _ job: Job, _ now: Instant) -> SessionID? {
        let workers = sessions.keys.filter { id in
            guard canBeHome(id, record, job), let session = sessions[id] else { return false }
            // Others do not wait long for a worker that loads something else.
            if case .opening(let since, _) = session.state(of: record.task) { return now.since(since) < parameters.homeWait }
            return true
        }
        guard let count = job.barrier?.tasks.count, !workers.isEmpty else { return nil }
        guard let thread = record.task.thread, job.homes[thread] != nil else {
            return workers[key.index * workers.count / count]
        }
        func threads(_ id: SessionID) -> Int {
            guard let session = sessions[id] else { return 0 }
            return job.homes.values.count { $0 == session.profile.instance } + session.leaseCount(of: key.job)
        }
        return workers.min { threads($0) < threads($1) }
    }

    private func canBeHome(_ id: SessionID, _ record: TaskRecord, _ job: Job) -> Bool {
        guard let session = sessions[id] else { return false }
        return session.state == .ready && session.profile.credit > 0 && fits(session, job)
            && session.state(of: record.task) != .failed && !record.failedWorkers.contains(session.profile.worker)
    }

    private mutating func chooseHome(_ id: SessionID, _ record: TaskRecord, _ now: Instant) -> Choice {
        guard let session = sessions[id] else { return .wait }
        switch session.state(of: record.task) {
        case .ready:
            return session.freeCredit > 0 && takesBytes(session, record.task.byteCount) ? .session(id) : .wait
        case nil: openContexts(of: record.task, on: id, now)
        case .opening, .failed: break
        }
        return .wait
    }

    /// The most leases of one barrier that a worker holds: its part of the unfinished tasks, if all workers that may take the
    /// task get equally many. So the first worker that is ready does not take a whole group while others get nothing, and the
    /// last tasks of a barrier are spread.
    private func fairShare(_ record: TaskRecord, _ job: Job) -> Int {
        guard let barrier = job.barrier else { return 1 }
        let workers = sessions.values.count { session in
            guard session.state == .ready, fits(session, job) else { return false }
            return !record.failedWorkers.contains(session.profile.worker) && session.state(of: record.task) != .failed
        }
        let unfinished = barrier.tasks.count - barrier.doneCount
        return (unfinished + max(1, workers) - 1) / max(1, workers)
    }

    /// The assumed speed of a worker without results of a kind: the mean of the others.
    private func usualSpeed(of kind: WorkKind) -> Double {
        let speeds = sessions.values.compactMap { $0.speeds[kind] }
        return speeds.isEmpty ? 1 : speeds.reduce(0, +) / Double(speeds.count)
    }

    private func takesBytes(_ session: Session, _ bytes: Int) -> Bool {
        session.outstanding.isEmpty || session.outstandingBytes + bytes <= parameters.bytesPerWorker
    }

    private mutating func grant(
        _ key: TaskKey, _ record: TaskRecord, to id: SessionID, isSpeculative: Bool, _ now: Instant
    ) {
        guard let profile = sessions[id]?.profile, let kind = jobs[key.job]?.kind(of: record.task) else { return }
        let lease = newLease()
        leases[lease] = Lease(
            task: key, instance: profile.instance, worker: profile.worker, session: id, sent: now)
        leasesOfJob[key.job, default: []].append(lease)
        sessions.update(id) {
            $0.outstanding.append(
                Session.Outstanding(
                    lease: lease, job: key.job, kind: kind, cost: record.task.cost,
                    bytes: record.task.byteCount, sent: now, isAlone: record.isSuspect))
        }
        update(key) { record in
            record.status = .leased
            record.attempts += 1
            record.leases.append(lease)
        }
        jobs.update(key.job) { job in
            if job.numericsClass == nil { job.numericsClass = profile.numericsClass }
            if isSpeculative { job.barrier?.speculativeCount += 1 }
        }
        actions.append(.lease(id, lease, key, attempt: record.attempts, alone: record.isSuspect))
    }

    // MARK: Stragglers

    /// Tries a task a second time if three quarters of its siblings are done and it is much older than they were. The first
    /// result counts, and the other try is cancelled. Tasks that failed before are never doubled.
    private mutating func speculate(_ id: JobID, _ now: Instant) {
        guard let job = jobs[id], let barrier = job.barrier, let threshold = stragglerAge(barrier) else { return }
        var allowance = max(1, barrier.tasks.count / 10) - barrier.speculativeCount
        for index in leasedTasks(of: id, barrier) where allowance > 0 && isStraggling(barrier.tasks[index], threshold, now) {
            let record = barrier.tasks[index]
            guard let lease = record.leases.first.flatMap({ leases[$0] }) else { continue }
            let idle = sessions.keys.first { id in
                guard let session = sessions[id], session.state == .ready, session.isIdle, session.freeCredit > 0 else {
                    return false
                }
                return fits(session, job) && session.profile.worker != lease.worker
                    && session.state(of: record.task) == .ready && takesBytes(session, record.task.byteCount)
            }
            guard let idle else { return }
            let key = TaskKey(job: id, barrier: barrier.serial, index: index)
            grant(key, record, to: idle, isSpeculative: true, now)
            allowance -= 1
        }
    }

    /// The tasks of a job's barrier that workers hold, by their indices in order. They are at most as many as the workers'
    /// credit; a barrier may have many times as many tasks.
    func leasedTasks(of id: JobID, _ barrier: BarrierRecord) -> [Int] {
        let keys = sessions.values.flatMap(\.outstanding).compactMap { $0.job == id ? leases[$0.lease]?.task : nil }
        return Set(keys.filter { $0.barrier == barrier.serial }.map(\.index)).sorted()
    }

    /// The age at which a task becomes a straggler; nil while too few tasks are done to know.
    func stragglerAge(_ barrier: BarrierRecord) -> Interval? {
        guard !barrier.isCollected, barrier.queue.isEmpty, barrier.tasks.count >= 2,
            barrier.doneCount * 4 >= barrier.tasks.count * 3,
            !barrier.durations.isEmpty
        else { return nil }
        let scaled = barrier.durations.percentile(50) / 100 &* Int64(parameters.stragglerPercentOfMedian)
        return max(Interval(nanoseconds: max(scaled, barrier.durations.percentile(95))), parameters.stragglerMinimumAge)
    }

    func isStraggling(_ record: TaskRecord, _ threshold: Interval, _ now: Instant) -> Bool {
        // Another worker would have to begin a thread anew, and that takes longer than to wait.
        guard record.status == .leased, record.leases.count == 1, record.failures == 0, record.task.thread == nil else {
            return false
        }
        return stragglerStart(record).map { now.since($0) >= threshold } ?? false
    }

    /// The start of the only try of a task.
    func stragglerStart(_ record: TaskRecord) -> Instant? {
        record.leases.first.flatMap { leases[$0]?.sent }
    }
}
