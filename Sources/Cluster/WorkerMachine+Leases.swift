/// A worker's handling of its leases.
extension WorkerMachine {
    /// - Parameter needed: the contexts of its task.
    mutating func take(_ lease: LeaseID, _ needed: [ContextID], isAlone: Bool, _ now: Instant) {
        guard isJoined else {
            actions.append(.forget(lease))
            return
        }
        if outbox[lease] != nil || held[lease] != nil { return }
        if let missing = needed.first(where: { !contexts.contains($0) }) {
            actions.append(.forget(lease))
            say(.sendNeed(missing), now)
            say(.sendCancelled([lease]), now)
            return
        }
        if isDraining {
            actions.append(.forget(lease))
            say(.sendCancelled([lease]), now)
            return
        }
        contexts.removeAll { needed.contains($0) }
        contexts += needed
        held[lease] = Held(contexts: needed, isAlone: isAlone, confirmed: false, arrived: now)
    }

    /// Begins the next group when the last one is done: the first leases, or one whose task is computed alone.
    mutating func startComputing(_ now: Instant) {
        guard isJoined, computing.isEmpty, let first = held.keys.first, outbox.keys.count < parameters.outboxLimit else {
            return
        }
        var group = [first]
        if held[first]?.isAlone == false {
            group = held.keys.prefix(groupLimit).prefix { held[$0]?.isAlone == false }
            if let gathersUntil, now < gathersUntil, group.count == held.keys.count, group.count < groupLimit { return }
        }
        gathersUntil = nil
        computing = group
        actions.append(.compute(group))
    }

    mutating func computed(_ lease: LeaseID, _ now: Instant) {
        computing.removeAll { $0 == lease }
        held[lease] = nil
        outbox[lease] = now
        if isJoined { sendOutcome(lease, now) }
    }

    /// Tasks that the compute thread did not begin wait again. The worker gives unwanted tasks back, and all when it drains.
    mutating func returned(_ leases: [LeaseID], _ now: Instant) {
        let leases = leases.filter(computing.contains)
        computing.removeAll(where: leases.contains)
        giveBack(leases.filter { isDraining || held[$0]?.isUnwanted == true }, now)
    }

    /// The tasks of a call that failed are computed again, each alone, so that only the one at fault fails.
    mutating func failedTogether(_ leases: [LeaseID], _ now: Instant) {
        for lease in leases { held.update(lease) { $0.isAlone = true } }
        returned(leases, now)
    }

    private mutating func giveBack(_ leases: [LeaseID], _ now: Instant) {
        for lease in leases {
            held[lease] = nil
            actions.append(.forget(lease))
        }
        if !leases.isEmpty && isJoined { say(.sendCancelled(leases), now) }
    }

    mutating func sendOutcome(_ lease: LeaseID, _ now: Instant) {
        outbox[lease] = now
        say(.sendOutcome(lease), now)
    }

    mutating func progressed(_ lease: LeaseID, _ now: Instant) {
        guard isJoined, computing.contains(lease), lastProgressSent.map({ now.since($0) >= terms.progress }) ?? true else {
            return
        }
        lastProgressSent = now
        say(.sendProgress(lease), now)
    }

    mutating func acknowledge(_ leases: [LeaseID]) {
        for lease in leases where outbox[lease] != nil {
            outbox[lease] = nil
            actions.append(.forget(lease))
        }
    }

    /// Drops leases that wait in this machine at once. Leases that wait in the compute thread are dropped when it returns them.
    ///
    /// - Parameter stops: whether the thread is to stop those under way. A call of the network stops only if nobody waits for
    ///   any of its tasks; otherwise their outcomes settle the leases.
    mutating func giveUp(_ leases: [LeaseID], stops: Bool, _ now: Instant) {
        let leases = leases.filter { outbox[$0] == nil }
        let underWay = leases.filter(computing.contains)
        for lease in underWay { held.update(lease) { $0.isUnwanted = true } }
        if stops, !underWay.isEmpty { actions.append(.abandon(underWay)) }
        let gone = leases.filter { !computing.contains($0) }
        for lease in gone where held[lease] != nil {
            held[lease] = nil
            actions.append(.forget(lease))
        }
        if !gone.isEmpty && isJoined { say(.sendCancelled(gone), now) }
    }

    // MARK: The end

    mutating func drain(_ now: Instant) {
        guard !isDraining else { return }
        drainDeadline = now + parameters.drainGrace
        if isJoined { say(.sendDrain, now) }
        giveBack(held.keys.filter { !computing.contains($0) }, now)
    }

    /// Ends if nothing is owed any more, or if the time for it is over. Then the tasks of the call under way are not given
    /// back: so the coordinator sees the tasks on which the worker hung.
    mutating func finishDrain(_ now: Instant) {
        guard let drainDeadline, link != .ended else { return }
        let isOver = drainDeadline <= now
        let owesNothing = held.isEmpty && outbox.isEmpty
        guard owesNothing || isOver || !isJoined else { return }
        if isJoined {
            say(.sendBye, now)
        }
        finish(.drained)
    }

    // MARK: Time

    mutating func tick(_ now: Instant) {
        guard isJoined else {
            sayHelloIfDue(now)
            return
        }
        if now.since(lastHeard) >= terms.silence {
            // The connection does not answer: make a new one and keep the results.
            actions.append(.reconnect)
            lastHeard = now
            rejoin(now)
            return
        }
        confirmWaiting(now)
        for lease in outbox.keys {
            if let sent = outbox[lease], now.since(sent) >= terms.resend { sendOutcome(lease, now) }
        }
        if now.since(lastSent) >= terms.heartbeat { say(.sendPing, now) }
    }

    /// Sends ACCEPT for leases that have waited for a moment. An earlier result has already confirmed its lease.
    private mutating func confirmWaiting(_ now: Instant) {
        let due = held.keys.filter { lease in
            guard let record = held[lease] else { return false }
            return !record.confirmed && now.since(record.arrived) >= terms.acceptDelay
        }
        guard !due.isEmpty else { return }
        for lease in due { held.update(lease) { $0.confirmed = true } }
        say(.sendAccept(due), now)
    }

    /// The time of the next tick.
    public func nextDeadline() -> Instant? {
        switch link {
        case .ended: return nil
        case .joining(let due): return drainDeadline.map { min($0, due) } ?? due
        case .joined: break
        }
        let confirmations = held.values.filter { !$0.confirmed }.map { $0.arrived + terms.acceptDelay }
        let repetitions = outbox.values.map { $0 + terms.resend }
        let gathering = computing.isEmpty ? gathersUntil : nil
        let others = [lastHeard + terms.silence, lastSent + terms.heartbeat, drainDeadline, gathering].compactMap { $0 }
        return (confirmations + repetitions + others).min()
    }
}
