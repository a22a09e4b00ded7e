import Sentences

/// Workers join, leave, and answer for their leases.
extension ClusterMachine {
    mutating func join(_ id: SessionID, _ profile: WorkerProfile, _ held: [LeaseID], _ now: Instant) {
        guard sessions[id] == nil else { return }
        var session = Session(profile: profile, lastHeard: now, lastProbe: now)
        var returned: [LeaseID] = []
        let earlier = sessions.keys.filter { sessions[$0]?.profile.instance == profile.instance }
        for oldID in earlier {
            guard let old = sessions[oldID] else { continue }
            session.speeds = old.speeds
            for var entry in old.outstanding {
                // A process that came back with fewer slots cannot keep them all.
                guard held.contains(entry.lease), !entry.isCancelled, session.outstanding.count < profile.largestCredit else {
                    returned.append(entry.lease)
                    continue
                }
                entry.isAccepted = true
                entry.active = nil
                entry.expires = nil
                session.outstanding.append(entry)
                leases[entry.lease]?.session = id
            }
            sessions[oldID] = nil
            actions.append(.endSession(oldID, .superseded))
        }
        sessions[id] = session
        actions.append(.welcome(id, keep: session.outstanding.map(\.lease)))
        // Jobs that ended while the worker was away, and leases of an earlier coordinator: nobody waits for their results.
        let unknown = held.filter { leases[$0] == nil }
        if !unknown.isEmpty { actions.append(.cancel(id, unknown)) }
        for lease in returned { release(lease, .transport, "", now) }
        startClocks(of: id, now)
        for job in jobs.keys { openContexts(of: job, on: id, now) }
    }

    mutating func accept(_ id: SessionID, _ accepted: [LeaseID], _ now: Instant) {
        for lease in accepted { sessions.update(id) { $0.update(lease) { $0.isAccepted = true } } }
        startClocks(of: id, now)
    }

    /// The lease clock of a task starts when the worker can have begun it, not while it waits behind another group.
    mutating func startClocks(of id: SessionID, _ now: Instant) {
        guard let session = sessions[id] else { return }
        for position in session.firstGroup.indices {
            let entry = session.outstanding[position]
            guard entry.isAccepted, entry.active == nil else { continue }
            let time = leaseTime(of: entry.lease)
            sessions.update(id) {
                $0.outstanding[position].active = now
                $0.outstanding[position].expires = now + time
            }
        }
    }

    /// The configured time, or four times the duration of nearly all tasks of the barrier.
    private func leaseTime(of lease: LeaseID) -> Interval {
        guard let key = leases[lease]?.task, let barrier = jobs[key.job]?.barrier, !barrier.durations.isEmpty else {
            return parameters.lease
        }
        return max(parameters.lease, Interval(nanoseconds: barrier.durations.percentile(95) &* 4))
    }

    /// A worker computes a group in one call, so the progress of one task renews the leases of all that it may have begun.
    mutating func renew(_ id: SessionID, _ lease: LeaseID, _ now: Instant) {
        let time = leaseTime(of: lease)
        sessions.update(id) { session in
            guard let position = session.outstanding.firstIndex(where: { $0.lease == lease }) else { return }
            session.outstanding[position].isAccepted = true
            if session.outstanding[position].active == nil { session.outstanding[position].active = now }
            for position in session.outstanding.indices
            where session.outstanding[position].active != nil {
                session.outstanding[position].expires = now + time
            }
            if session.state == .suspect { session.state = .ready }
        }
    }

    mutating func result(_ id: SessionID, _ leaseID: LeaseID, _ time: Interval, _ now: Instant) {
        let entry = settle(leaseID, on: id, now)
        guard let lease = leases[leaseID] else {
            actions.append(.acknowledge(id, leaseID, .stale))
            return
        }
        guard lease.instance == sessions[id]?.profile.instance else {
            strike(id, now)
            return
        }
        if let entry { sessions.update(id) { $0.learnSpeed(of: entry.kind, cost: entry.cost, time: time) } }
        guard let record = record(of: lease.task) else {
            actions.append(.acknowledge(id, leaseID, .stale))
            return
        }
        guard record.status != .done else {
            actions.append(.acknowledge(id, leaseID, .duplicate))
            return
        }
        guard bind(lease.task.job, toClassOf: id) else {
            // A worker of another class than the job's computed it. The task stays for workers of the job's class.
            actions.append(.acknowledge(id, leaseID, .stale))
            release(leaseID, .transport, "", now)
            return
        }
        take(leaseID, lease, from: id, time, now)
    }

    /// Whether a worker's result may enter a job. Only results of one numerics class give the same bytes together.
    private mutating func bind(_ job: JobID, toClassOf id: SessionID) -> Bool {
        guard let numericsClass = sessions[id]?.profile.numericsClass else { return false }
        jobs.update(job) { job in
            // The job is free while no try is out and nothing was merged. Then a late result binds it, as a lease would.
            if job.numericsClass == nil { job.numericsClass = numericsClass }
        }
        return jobs[job]?.numericsClass == numericsClass
    }

    private mutating func take(_ leaseID: LeaseID, _ lease: Lease, from id: SessionID, _ time: Interval, _ now: Instant) {
        let key = lease.task
        actions.append(.take(key, id))
        actions.append(.acknowledge(id, leaseID, .accepted))
        // The time on the compute thread is a task's share of its group, which is shorter than the task's age.
        let age = max(time, now.since(lease.sent))
        var others: [LeaseID] = []
        var isCollected = false
        jobs.update(key.job) { job in
            job.hasResults = true
            if let thread = job.barrier?.tasks[key.index].task.thread { job.homes[thread] = lease.instance }
            job.barrier?.finish(key.index, by: lease.worker, after: age)
            others = job.barrier?.tasks[key.index].leases ?? []
            job.barrier?.tasks[key.index].leases = []
            isCollected = job.barrier?.isCollected ?? false
        }
        for other in others where other != leaseID {
            leases[other]?.isLive = false
            if let holder = leases[other]?.session { cancel([other], on: holder) }
        }
        leases[leaseID]?.isLive = false
        if isCollected { actions.append(.collected(key.job, serial: key.barrier)) }
    }

    /// A worker gave a lease back.
    mutating func fail(_ id: SessionID, _ leaseID: LeaseID, _ failure: FailureClass, _ text: Sentence, _ now: Instant) {
        let entry = settle(leaseID, on: id, now)
        guard let lease = leases[leaseID] else { return }
        guard lease.instance == sessions[id]?.profile.instance else {
            strike(id, now)
            return
        }
        if entry != nil { release(leaseID, failure, text, now) }
    }

    /// The worker has answered for a lease, so the lease no longer uses up credit.
    private mutating func settle(_ lease: LeaseID, on id: SessionID, _ now: Instant) -> Session.Outstanding? {
        var settled: Session.Outstanding?
        sessions.update(id) { session in
            guard let position = session.outstanding.firstIndex(where: { $0.lease == lease }) else { return }
            settled = session.outstanding.remove(at: position)
            session.expiriesInARow = 0
            if session.state == .suspect { session.state = .ready }
        }
        startClocks(of: id, now)
        return settled
    }

    mutating func disconnect(_ id: SessionID, _ undelivered: [LeaseID], _ now: Instant) {
        sessions.update(id) { session in session.outstanding.removeAll { undelivered.contains($0.lease) } }
        guard let session = sessions[id] else { return }
        if session.isLost {
            // This is known already.
        } else if session.outstanding.isEmpty || parameters.reconnectGrace.nanoseconds <= 0 {
            // A worker without leases, or one that nobody waits for, is forgotten at once.
            drop(id, .lost, now)
        } else {
            sessions.update(id) { $0.state = .lost(until: now + parameters.reconnectGrace) }
        }
        // The worker did not die of a task that it never received.
        for lease in undelivered { release(lease, .transport, "", now) }
    }

    mutating func strike(_ id: SessionID, _ now: Instant) {
        var count = 0
        sessions.update(id) { session in
            session.strikes.removeAll { now.since($0) > .seconds(60) }
            session.strikes.append(now)
            count = session.strikes.count
        }
        if count >= parameters.strikesPerMinute { drop(id, .strikes, now) }
    }

    /// Forgets a session. Its tasks are open again.
    mutating func drop(_ id: SessionID, _ end: SessionEnd, _ now: Instant) {
        guard let session = sessions[id] else { return }
        sessions[id] = nil
        actions.append(.endSession(id, end))
        // The tasks that a dead worker was computing. It need not have reported them before it died.
        let computed = session.firstGroup.map(\.lease)
        if end == .silent { computed.forEach { suspect($0) } }
        for entry in session.outstanding {
            switch end {
            case .lost where computed.contains(entry.lease): release(entry.lease, .unknown, "a worker died on it", now)
            case .wedged where entry.active != nil: chargeHang(entry.lease, now)
            case .orderly:
                // The worker had it and did not give it back: its time to end was over while it computed the task, or the
                // result was lost.
                if entry.isAccepted { suspect(entry.lease) }
                release(entry.lease, .cancelled, "", now)
            default: release(entry.lease, .transport, "", now)
            }
        }
    }
}

extension BarrierRecord {
    /// Marks a task as done.
    mutating func finish(_ index: Int, by worker: PeerID, after age: Interval) {
        if tasks[index].status == .open { queue.removeAll { $0 == index } }
        tasks[index].status = .done
        tasks[index].takenFrom = worker
        doneCount += 1
        durations.insert(age.nanoseconds)
    }
}
