/// The rules that hold between any two events.
extension ClusterMachine {
    /// The first broken rule in words; nil if all hold. For tests, and for a coordinator that checks itself on request.
    public func inconsistency() -> String? {
        for id in sessions.keys {
            guard let session = sessions[id] else { continue }
            // A worker may lower its credit while leases are out, so the limit is the largest credit it could have had.
            if session.outstanding.count > session.profile.largestCredit {
                return "session \(id.rawValue) holds \(session.outstanding.count) leases with credit \(session.profile.credit)"
            }
            if Set(session.outstanding.map(\.lease)).count != session.outstanding.count { return "a lease is out twice" }
        }
        for id in jobs.keys {
            if let problem = inconsistency(of: id) { return problem }
        }
        return nil
    }

    private func inconsistency(of id: JobID) -> String? {
        guard let barrier = jobs[id]?.barrier else { return nil }
        let open = barrier.tasks.indices.filter { barrier.tasks[$0].status == .open }
        if barrier.queue.sorted() != open {
            return "job \(id.rawValue): the queue \(barrier.queue) is not the open tasks \(open)"
        }
        if barrier.tasks.count(where: { $0.status == .done }) != barrier.doneCount { return "job \(id.rawValue): miscounted" }
        for (index, record) in barrier.tasks.enumerated() {
            if record.status == .leased && record.leases.isEmpty { return "task \(index) is leased to nobody" }
            if record.leases.count > 2 { return "task \(index) has \(record.leases.count) live leases" }
            for lease in record.leases {
                guard let holder = leases[lease]?.session, let session = sessions[holder],
                    session.outstanding.contains(where: { $0.lease == lease && !$0.isCancelled })
                else { return "lease \(lease.rawValue) of task \(index) is live, but nobody holds it" }
            }
        }
        return nil
    }
}
