import Cluster

/// A coordinator's machine with its clock, driven by hand.
struct Bench {
    var machine: ClusterMachine
    var now = Instant(nanoseconds: 1_000_000_000)
    var actions: [ClusterAction] = []

    init(_ change: (inout ClusterParameters) -> Void = { _ in }) {
        var parameters = ClusterParameters()
        parameters.retryDelays = [.milliseconds(0)]
        change(&parameters)
        machine = ClusterMachine(parameters: parameters)
    }

    @discardableResult
    mutating func tell(_ event: ClusterEvent) -> [ClusterAction] {
        let fresh = machine.handle(event, now: now)
        actions += fresh
        return fresh
    }

    mutating func pass(_ milliseconds: Int) -> [ClusterAction] {
        var all: [ClusterAction] = []
        var left = milliseconds
        while left > 0 {
            let part = min(left, 500)
            now = now + .milliseconds(part)
            left -= part
            let fresh = tell(.tick)
            openAll(fresh)
            all += fresh
        }
        return all
    }

    /// A worker that reports every context it is sent as ready.
    mutating func join(
        _ number: UInt64, instance: UInt64? = nil, session: UInt64? = nil, numericsClass: String = "a",
        models: [String] = ["m"], precisions: [String] = ["f32"], memory: Int = 0, slots: Int = 1, held: [LeaseID] = []
    ) -> SessionID {
        let id = SessionID(session ?? number)
        let profile = WorkerProfile(
            worker: PeerID(high: 1, low: number), instance: PeerID(high: 2, low: instance ?? number),
            slots: slots, numericsClass: numericsClass, models: models, precisions: precisions, memoryBytes: memory)
        openAll(tell(.joined(id, profile, held: held)))
        return id
    }

    /// A job with one barrier.
    mutating func submit(
        _ number: UInt64 = 1, costs: [Double], model: String = "m", precision: String? = nil, memory: [String: Int] = [:]
    ) -> JobID {
        let id = JobID(number)
        tell(.submitted(id, WorkerNeeds(model: model, precision: precision, memory: memory)))
        openAll(tell(.barrier(id, serial: 0, costs.map { ClusterTask(context: ContextID(number), cost: $0) })))
        return id
    }

    mutating func openAll(_ actions: [ClusterAction]) {
        for case .openContext(let session, let context) in actions { openAll(tell(.contextReady(session, context))) }
    }

    /// Leases granted since the last look, in order.
    mutating func takeLeases() -> [(session: SessionID, lease: LeaseID, key: TaskKey)] {
        defer { actions.removeAll() }
        return actions.compactMap { action in
            if case .lease(let session, let lease, let key, _, _) = action { return (session, lease, key) }
            return nil
        }
    }

    /// Confirms and completes a lease.
    @discardableResult
    mutating func finish(_ lease: (session: SessionID, lease: LeaseID, key: TaskKey), milliseconds: Int = 10) -> [ClusterAction]
    {
        tell(.accepted(lease.session, [lease.lease]))
        return tell(.result(lease.session, lease.lease, computeTime: .milliseconds(milliseconds)))
    }
}

extension [ClusterAction] {
    var failures: [JobFailure] {
        compactMap { action in
            if case .jobFailed(_, let failure) = action { return failure }
            return nil
        }
    }

    var ends: [SessionEnd] {
        compactMap { action in
            if case .endSession(_, let end) = action { return end }
            return nil
        }
    }

    var verdicts: [Verdict] {
        compactMap { action in
            if case .acknowledge(_, _, let verdict) = action { return verdict }
            return nil
        }
    }

    /// For each leased task, whether its worker computes it alone.
    var alone: [Int: Bool] {
        reduce(into: [:]) { alone, action in
            if case .lease(_, _, let key, _, let isAlone) = action { alone[key.index] = isAlone }
        }
    }

    var taken: [Int] {
        compactMap { action in
            if case .take(let key, _) = action { return key.index }
            return nil
        }
    }
}
