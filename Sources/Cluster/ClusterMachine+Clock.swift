import Sentences

/// The effects of passing time.
extension ClusterMachine {
    /// The longest gap between two ticks. After a longer one this process itself must have been stopped.
    static let longestGap = Interval.seconds(2)

    mutating func tick(_ now: Instant) {
        forgiveOwnAbsence(now)
        for id in sessions.keys {
            checkLife(of: id, now)
            checkLeases(of: id, now)
            checkContexts(of: id, now)
        }
        for id in jobs.keys { checkStarvation(of: id, now) }
    }

    /// If the coordinator itself was frozen, nobody else is to blame for the silence. Every clock moves on by the gap.
    private mutating func forgiveOwnAbsence(_ now: Instant) {
        defer { lastTick = now }
        guard let lastTick, now.since(lastTick) > ClusterMachine.longestGap else { return }
        let gap = now.since(lastTick)
        for id in sessions.keys {
            sessions.update(id) { session in
                session.lastHeard = min(now, session.lastHeard + gap)
                if case .lost(let until) = session.state { session.state = .lost(until: until + gap) }
                for position in session.outstanding.indices {
                    session.outstanding[position].expires = session.outstanding[position].expires.map { $0 + gap }
                }
            }
        }
    }

    private mutating func checkLife(of id: SessionID, _ now: Instant) {
        guard let session = sessions[id] else { return }
        if case .lost(let until) = session.state {
            if until <= now { drop(id, .lost, now) }
            return
        }
        if now.since(session.lastHeard) >= parameters.terms.silence {
            drop(id, .silent, now)
        } else if let due = probeTime(session), due <= now {
            sessions.update(id) { $0.lastProbe = now }
            actions.append(.probe(id))
        }
    }

    /// The time to ask a session with leases or loading contexts for a sign of life.
    private func probeTime(_ session: Session) -> Instant? {
        let owes = !session.outstanding.isEmpty || session.isOpening
        return owes ? max(session.lastHeard, session.lastProbe) + parameters.probe : nil
    }

    private mutating func checkLeases(of id: SessionID, _ now: Instant) {
        guard let session = sessions[id], !session.isLost else { return }
        for entry in session.outstanding {
            if !entry.isAccepted, !entry.isCancelled, entry.sent + parameters.acceptTimeout(bytes: entry.bytes) <= now {
                // Lost in transit: nobody is at fault. The worker is told to drop the lease if it arrives later.
                sessions.update(id) { $0.outstanding.removeAll { $0.lease == entry.lease } }
                actions.append(.recall(id, [entry.lease]))
                release(entry.lease, .transport, "", now)
            } else if let forgotten = forgetTime(entry), forgotten <= now {
                sessions.update(id) { $0.outstanding.removeAll { $0.lease == entry.lease } }
            } else if let expires = entry.expires, expires <= now {
                expire(id, now)
                return
            }
        }
    }

    /// The time at which a cancelled lease that never arrived stops using up credit.
    private func forgetTime(_ entry: Session.Outstanding) -> Instant? {
        guard entry.isCancelled, !entry.isAccepted, entry.expires == nil else { return nil }
        return entry.sent + parameters.acceptTimeout(bytes: entry.bytes) + parameters.lease
    }

    /// A worker answers but its work does not move. All its leases go to others. The second time in a row it is sent away.
    private mutating func expire(_ id: SessionID, _ now: Instant) {
        guard let session = sessions[id] else { return }
        if session.expiriesInARow >= 1 {
            drop(id, .wedged, now)
            return
        }
        sessions.update(id) { session in
            session.expiriesInARow += 1
            if session.state == .ready { session.state = .suspect }
            for position in session.outstanding.indices {
                if !session.outstanding[position].isCancelled { session.outstanding[position].isRecalled = true }
                session.outstanding[position].isCancelled = true
                session.outstanding[position].expires = now + parameters.lease
            }
        }
        let fresh = session.outstanding.filter { !$0.isCancelled }
        if !fresh.isEmpty { actions.append(.recall(id, fresh.map(\.lease))) }
        for entry in fresh {
            if entry.active != nil { suspect(entry.lease) }
            release(entry.lease, .transport, "", now)
        }
    }

    private mutating func checkContexts(of id: SessionID, _ now: Instant) {
        guard let session = sessions[id], session.state == .ready else { return }
        for context in session.contexts.keys {
            guard case .opening(let since, let asked) = session.contexts[context] else { continue }
            if now.since(since) >= parameters.contextBudget {
                contextFailures[context] =
                    "a worker needs more than \(parameters.contextBudget.milliseconds / 1000) s to load the model"
                sessions.update(id) { $0.contexts[context] = .failed }
            } else if now.since(asked) >= parameters.contextResend {
                sessions.update(id) { $0.contexts[context] = .opening(since: since, asked: now) }
                actions.append(.openContext(id, context))
            }
        }
    }

    // MARK: Starvation

    /// A job without a worker that could take its tasks soon says so. After `starvation` it fails, if no worker can come any
    /// more.
    private mutating func checkStarvation(of id: JobID, _ now: Instant) {
        guard var job = jobs[id], let barrier = job.barrier, !barrier.isCollected else { return }
        let workers = stayingSessions
        // A try that is still out may still return a result of the class, so the class stays until then.
        if !job.hasResults, !barrier.hasLiveLeases, !workers.contains(where: { fits($0, job) }) { job.numericsClass = nil }
        if workers.contains(where: { fits($0, job) }) {
            job.starvedSince = nil
            if job.saidWaiting { actions.append(.waiting(id, nil)) }
            job.saidWaiting = false
            jobs[id] = job
            return
        }
        let since = job.starvedSince ?? now
        job.starvedSince = since
        let reason = starvationReason(job, workers)
        if now.since(since) >= parameters.starvation, parameters.failsStarvedJobs || isClassLost(job, workers) {
            failJob(id, .starved(reason))
            return
        }
        if !job.saidWaiting, now.since(since) >= min(.seconds(2), parameters.starvation) {
            job.saidWaiting = true
            actions.append(.waiting(id, reason))
        }
        jobs[id] = job
    }

    /// The job's results so far belong to a numerics class that is gone, while other workers are ready. The job cannot go on
    /// with equal bytes. Waiting would hide that a new submission could run at once.
    private func isClassLost(_ job: Job, _ workers: [Session]) -> Bool {
        job.numericsClass != nil && workers.contains { job.needs.areMet(by: $0.profile) }
    }

    private func starvationReason(_ job: Job, _ workers: [Session]) -> Sentence {
        if workers.isEmpty { return "no worker is connected" }
        if let numericsClass = job.numericsClass, isClassLost(job, workers) {
            return
                "no worker of the numerics class \(numericsClass) is left, and only this class can finish the job: start one, or "
                + "submit the job again"
        }
        let able = workers.map(\.profile).filter(job.needs.areMetButForMemory)
        if let largest = able.max(by: { $0.memoryBytes < $1.memoryBytes }), let least = job.needs.shortage(of: largest) {
            return
                "no connected worker (of \(workers.count)) with the job's model has the \(Amounts.bytes(least)) of memory that "
                + "the job needs: start one on a larger host, or submit the job with other settings"
        }
        if let precision = job.needs.precision, workers.contains(where: { $0.profile.models.contains(job.needs.model) }) {
            return
                "no connected worker (of \(workers.count)) with the job's model computes in \(precision): start one with this "
                + "precision, or submit the job with another \(.precision)"
        }
        return "no connected worker (of \(workers.count)) has the job's model"
    }

    // MARK: Deadlines

    /// The time of the next tick; nil if nothing waits for time.
    public func nextDeadline() -> Instant? {
        // An overdue job waits for a worker, not for time.
        let jobDeadlines = jobs.keys.flatMap(deadlines).filter { deadline in lastTick.map { deadline > $0 } ?? true }
        return (sessions.values.flatMap(deadlines) + jobDeadlines).min()
    }

    private func deadlines(_ session: Session) -> [Instant] {
        if case .lost(let until) = session.state { return [until] }
        var all = [session.lastHeard + parameters.terms.silence, probeTime(session)]
        for entry in session.outstanding {
            if !entry.isAccepted, !entry.isCancelled { all.append(entry.sent + parameters.acceptTimeout(bytes: entry.bytes)) }
            all += [entry.expires, forgetTime(entry)]
        }
        for context in session.contexts.values where session.state == .ready {
            if case .opening(_, let asked) = context { all.append(asked + parameters.contextResend) }
        }
        return all.compactMap { $0 }
    }

    private func deadlines(_ id: JobID) -> [Instant] {
        guard let job = jobs[id], let barrier = job.barrier, !barrier.isCollected else { return [] }
        var all = barrier.queue.suffix(8).compactMap { barrier.tasks[$0].notBefore }
        if let since = job.starvedSince {
            if !job.saidWaiting { all.append(since + min(.seconds(2), parameters.starvation)) }
            if parameters.failsStarvedJobs || job.numericsClass != nil { all.append(since + parameters.starvation) }
        }
        if let threshold = stragglerAge(barrier) {
            for record in leasedTasks(of: id, barrier).map({ barrier.tasks[$0] })
            where record.status == .leased && record.leases.count == 1 && record.failures == 0 {
                if let start = stragglerStart(record) { all.append(start + threshold) }
            }
        }
        return all
    }
}
