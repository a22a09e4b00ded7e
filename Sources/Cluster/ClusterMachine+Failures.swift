import Sentences

/// The cost of a failed try, and the point at which the task itself is at fault.
extension ClusterMachine {
    /// One try ended without a result: the task is tried again, or its job fails.
    mutating func release(_ leaseID: LeaseID, _ failure: FailureClass, _ text: Sentence, _ now: Instant) {
        guard let lease = leases[leaseID], lease.isLive else { return }
        leases[leaseID]?.isLive = false
        let key = lease.task
        guard let record = record(of: key) else { return }
        update(key) { $0.leases.removeAll { $0 == leaseID } }
        guard record.status == .leased else { return }
        // A dead process counts by itself: its successor on the same machine may try again.
        charge(key, failure == .unknown ? lease.instance : lease.worker, failure, text, now)
        reopen(key, now)
    }

    /// A result that was taken cannot be used. The task goes on as if its worker had failed it.
    mutating func reject(_ key: TaskKey, _ failure: FailureClass, _ text: Sentence, _ now: Instant) {
        guard let record = record(of: key), record.status == .done, let worker = record.takenFrom else { return }
        update(key) { record in
            record.status = .leased
            record.takenFrom = nil
        }
        jobs.update(key.job) { $0.barrier?.doneCount -= 1 }
        charge(key, worker, failure, text, now)
        reopen(key, now)
    }

    private mutating func charge(_ key: TaskKey, _ worker: PeerID, _ failure: FailureClass, _ text: Sentence, _ now: Instant) {
        if !text.parts.isEmpty { update(key) { $0.lastFailure = text } }
        if failure == .transport || failure == .cancelled { return }
        update(key) { $0.isSuspect = true }
        if failure == .unknown, !countsDeath(key, worker, now) { return }
        update(key) { record in
            record.failures += 1
            if failure != .unknown { record.failedWorkers.append(worker) }
            if failure != .worker, !record.blame.contains(worker) { record.blame.append(worker) }
            if failure == .nonFinite { record.nonFiniteCount += 1 }
        }
    }

    /// A worker gave no answer for a task that it may have computed.
    mutating func suspect(_ lease: LeaseID) {
        if let key = leases[lease]?.task { update(key) { $0.isSuspect = true } }
    }

    /// Whether a worker's death counts against the task. Deaths on different tasks within a short time count against the
    /// machines, and then none of them counts against a task. A worker that died on this task too, with its whole group, is no
    /// sign of that.
    private mutating func countsDeath(_ key: TaskKey, _ worker: PeerID, _ now: Instant) -> Bool {
        deaths.removeAll { now.since($0.time) > parameters.massDeathWindow }
        let victims = Set(deaths.filter { $0.task == key }.map(\.worker))
        let others = deaths.filter { $0.task != key && $0.worker != worker && !victims.contains($0.worker) }
        deaths.append(DeathRecord(time: now, task: key, worker: worker))
        for other in others { update(other.task) { $0.blame.removeAll { $0 == other.worker } } }
        return others.isEmpty
    }

    /// A worker was sent away because it hung. Its task already went to others, and is charged now.
    mutating func chargeHang(_ leaseID: LeaseID, _ now: Instant) {
        guard let lease = leases[leaseID], let record = record(of: lease.task), record.status != .done else { return }
        charge(lease.task, lease.instance, .unknown, "a worker hung on it", now)
        _ = failsJob(lease.task)
    }

    /// Ends the job if its task has failed so often that the task is at fault.
    private mutating func failsJob(_ key: TaskKey) -> Bool {
        guard let record = record(of: key) else { return true }
        if record.nonFiniteCount >= 2 {
            failJob(key.job, .numeric(key, record.lastFailure))
            return true
        }
        if record.blame.count >= parameters.poisonWorkers {
            failJob(key.job, .poisoned(key, record.lastFailure))
            return true
        }
        return false
    }

    /// Puts a task back into the queue, unless a copy of it is still out or it is at fault.
    private mutating func reopen(_ key: TaskKey, _ now: Instant) {
        guard !failsJob(key), let record = record(of: key), record.leases.isEmpty else { return }
        let delays = parameters.retryDelays
        let delay = record.failures == 0 || delays.isEmpty ? nil : delays[min(record.failures, delays.count) - 1]
        update(key) { record in
            record.status = .open
            record.notBefore = delay.map { now + $0 }
        }
        // The end of the array is the front of the queue: the barrier waits for this task.
        jobs.update(key.job) { $0.barrier?.queue.append(key.index) }
    }

    /// The failure of a task after every worker that could take it has failed it.
    func exhausted(_ key: TaskKey, _ record: TaskRecord) -> JobFailure {
        record.nonFiniteCount > 0 ? .numeric(key, record.lastFailure) : .poisoned(key, record.lastFailure)
    }
}
