/// The cost of a failed try, and the point at which the task itself is at fault.
extension ClusterMachine {
    /// One try ended without a result: the task is tried again, or its job fails.
    mutating func release(_ leaseID: LeaseID, _ failure: FailureClass, _ text: String, _ now: Instant) {
        guard let lease = leases[leaseID], lease.isLive else { return }
        leases[leaseID]?.isLive = false
        let key = lease.task
        guard let barrier = jobs[key.job]?.barrier, barrier.serial == key.barrier else { return }
        jobs.update(key.job) { $0.barrier?.tasks[key.index].leases.removeAll { $0 == leaseID } }
        guard barrier.tasks[key.index].status == .leased else { return }
        // A dead process counts by itself: its successor on the same machine may try again.
        charge(key, failure == .unknown ? lease.instance : lease.worker, failure, text, now)
        reopen(key, now)
    }

    /// A result that was taken cannot be used. The task goes on as if its worker had failed it.
    mutating func reject(_ key: TaskKey, _ failure: FailureClass, _ text: String, _ now: Instant) {
        guard let barrier = jobs[key.job]?.barrier, barrier.serial == key.barrier, barrier.tasks.indices.contains(key.index),
            barrier.tasks[key.index].status == .done, let worker = barrier.tasks[key.index].takenFrom
        else { return }
        jobs.update(key.job) { job in
            job.barrier?.tasks[key.index].status = .leased
            job.barrier?.tasks[key.index].takenFrom = nil
            job.barrier?.doneCount -= 1
            job.barrier?.isCollected = false
        }
        charge(key, worker, failure, text, now)
        reopen(key, now)
    }

    private mutating func charge(_ key: TaskKey, _ worker: PeerID, _ failure: FailureClass, _ text: String, _ now: Instant) {
        let counts = failure == .unknown ? countsDeath(key, worker, now) : true
        jobs.update(key.job) { job in
            guard var record = job.barrier?.tasks[key.index] else { return }
            if !text.isEmpty { record.lastFailure = text }
            switch failure {
            case .transport, .cancelled: break
            case .worker:
                record.failures += 1
                record.failedWorkers.append(worker)
            case .payload, .nonFinite:
                record.failures += 1
                record.failedWorkers.append(worker)
                if !record.blame.contains(worker) { record.blame.append(worker) }
                if failure == .nonFinite { record.nonFiniteCount += 1 }
            case .unknown:
                guard counts else { break }
                record.failures += 1
                if !record.blame.contains(worker) { record.blame.append(worker) }
            }
            job.barrier?.tasks[key.index] = record
        }
    }

    /// Whether a worker's death counts against the task. Deaths on different tasks within a short time count against the
    /// machines, and then none of them counts against a task.
    private mutating func countsDeath(_ key: TaskKey, _ worker: PeerID, _ now: Instant) -> Bool {
        deaths.removeAll { now.since($0.time) > parameters.massDeathWindow }
        let others = deaths.filter { $0.task != key && $0.worker != worker }
        deaths.append(DeathRecord(time: now, task: key, worker: worker))
        for other in others {
            guard jobs[other.task.job]?.barrier?.serial == other.task.barrier else { continue }
            jobs.update(other.task.job) { job in
                job.barrier?.tasks[other.task.index].blame.removeAll { $0 == other.worker }
            }
        }
        return others.isEmpty
    }

    /// A worker was sent away because it hung. Its task already went to others, and is charged now.
    mutating func chargeHang(_ leaseID: LeaseID, _ now: Instant) {
        guard let lease = leases[leaseID], let barrier = jobs[lease.task.job]?.barrier, barrier.serial == lease.task.barrier,
            barrier.tasks[lease.task.index].status != .done
        else { return }
        charge(lease.task, lease.instance, .unknown, "a worker hung on it", now)
        _ = failsJob(lease.task)
    }

    /// Ends the job if its task has failed so often that the task is at fault.
    private mutating func failsJob(_ key: TaskKey) -> Bool {
        guard let record = jobs[key.job]?.barrier?.tasks[key.index] else { return true }
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
        guard !failsJob(key), let record = jobs[key.job]?.barrier?.tasks[key.index], record.leases.isEmpty else { return }
        let delays = parameters.retryDelays
        let delay = record.failures == 0 || delays.isEmpty ? nil : delays[min(record.failures, delays.count) - 1]
        jobs.update(key.job) { job in
            job.barrier?.tasks[key.index].status = .open
            job.barrier?.tasks[key.index].notBefore = delay.map { now + $0 }
            // The end of the array is the front of the queue: the barrier waits for this task.
            job.barrier?.queue.append(key.index)
        }
    }

    /// The failure of a task after every worker that could take it has failed it.
    func exhausted(_ key: TaskKey, _ record: TaskRecord) -> JobFailure {
        record.nonFiniteCount > 0 ? .numeric(key, record.lastFailure) : .poisoned(key, record.lastFailure)
    }
}
