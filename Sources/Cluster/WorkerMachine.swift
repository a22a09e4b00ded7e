/// A worker's timing and limits before any coordinator has told it others.
public struct WorkerParameters: Sendable, Equatable {
    /// The largest number of tasks computed at once: the largest group.
    public var slots = 1
    /// The longest wait for a lease that was announced.
    public var gather = Interval.milliseconds(100)
    /// The waits between HELLOs without an answer: the first wait, doubled up to the last.
    public var helloFirst = Interval.milliseconds(500)
    public var helloLast = Interval.seconds(30)
    /// The number of results without an acknowledgement. With more, no new task begins.
    public var outboxLimit = 64
    /// The number of contexts kept loaded, of whatever kind. The one used longest ago goes first. There is no other limit: the
    /// compute thread keeps every context that this machine has opened and not closed.
    public var contextLimit = 16
    /// The time to finish the call under way after a request to drain.
    public var drainGrace = Interval.seconds(25)

    public init() {}
}

/// Every event of a worker.
public enum WorkerEvent: Sendable, Equatable {
    // From the coordinator.
    case welcomed(WorkerTerms, keep: [LeaseID])
    /// No. Tells whether another try can help, and when.
    case refused(isFinal: Bool, retryAfter: Interval)
    case reset
    case pinged
    /// Any other sign of life.
    case heard
    case openContext(ContextID)
    case closeContext(ContextID)
    /// A task that is `alone` shares no call with others. With `more` the next lease follows at once.
    case leased(LeaseID, ContextID, base: ContextID? = nil, alone: Bool = false, more: Bool = false)
    case acknowledged([LeaseID])
    /// Nobody wants the results of these leases.
    case cancelled([LeaseID])
    /// Others get the tasks of these leases. A late result still counts.
    case recalled([LeaseID])
    case drainRequested
    /// The coordinator ends the session. Tells whether the worker should look for it again.
    case dismissed(comesBack: Bool)
    // From the compute thread.
    case contextOpened(ContextID, ok: Bool)
    case computed(LeaseID)
    /// These tasks of its group did not go into the same call, and were not begun; or all tasks of the call were abandoned, and
    /// it was stopped.
    case returned([LeaseID])
    /// These tasks went into the same call, and it failed. None of them has an outcome.
    case failedTogether([LeaseID])
    /// From now on it takes at most this number of tasks at once.
    case groupLimit(Int)
    case progressed(LeaseID)
    // From the process.
    case terminate
    case tick
}

/// Why a worker ends.
public enum WorkerEnd: Sendable, Equatable {
    /// It was asked to end, and everything is delivered or given back.
    case drained
    /// A final refusal.
    case refused
    /// The coordinator sent it away.
    case dismissed
}

/// Every action that a worker requests.
public enum WorkerAction: Sendable, Equatable {
    /// Close the socket and make a new one: the old connection does not answer.
    case reconnect
    case sendHello(held: [LeaseID], unacked: [LeaseID])
    case sendPing
    case sendPong
    case sendReady(ContextID)
    case sendNeed(ContextID)
    case sendContextFailed(ContextID)
    /// The number of leases that it takes at once, by `WorkerMachine.groupLimit`.
    case sendCredit
    case sendAccept([LeaseID])
    case sendProgress(LeaseID)
    /// The stored outcome of a lease: RESULT or FAIL.
    case sendOutcome(LeaseID)
    case sendCancelled([LeaseID])
    case sendDrain
    case sendBye
    /// This action and the next two are for the compute thread, in order.
    case open(ContextID)
    case close(ContextID)
    /// Compute the first lease, together with as many of the others as fit into one call.
    case compute([LeaseID])
    /// Nobody waits for these tasks of the group under way. The compute thread may stop and return them.
    case abandon([LeaseID])
    /// The task or outcome of a lease is not needed any more.
    case forget(LeaseID)
    case end(WorkerEnd)
}

/// A worker's side of the cluster as a value: its leases, its debts, and the times at which it speaks.
public struct WorkerMachine: Sendable {
    enum Link: Sendable, Equatable {
        /// No session. HELLO goes out at the given time.
        case joining(nextHello: Instant)
        case joined
        case ended
    }

    struct Held: Sendable {
        let contexts: [ContextID]
        /// Whether its task shares no call with others: the coordinator wants that, or it failed together with others.
        var isAlone: Bool
        var confirmed: Bool
        let arrived: Instant
        /// Whether nobody waits for it any more, but the compute thread has it.
        var isUnwanted = false
    }

    public let parameters: WorkerParameters
    var terms = WorkerTerms()
    var link: Link
    var helloWait: Interval
    var lastHeard: Instant
    var lastSent: Instant
    var contexts: [ContextID] = []
    var openingContexts: [ContextID] = []
    /// Contexts that were closed before they were open.
    var unwantedContexts: Set<ContextID> = []
    /// Unfinished leases in order of arrival.
    var held = OrderedTable<LeaseID, Held>()
    /// The group that the compute thread has, without its finished tasks.
    var computing: [LeaseID] = []
    /// The most tasks that the compute thread takes at once, at most its slots. It begins with one, and learns from its work.
    public private(set) var groupLimit = 1
    /// The limit that the last HELLO told.
    private var groupLimitTold = 1
    /// The time until which the next group waits for a lease that was announced for it.
    var gathersUntil: Instant?
    /// Finished leases without an acknowledgement, each with the time when its outcome was last sent, or was computed without a
    /// session.
    var outbox = OrderedTable<LeaseID, Instant>()
    var lastProgressSent: Instant?
    var drainDeadline: Instant?
    var isDraining: Bool { drainDeadline != nil }
    var actions: [WorkerAction] = []

    public init(parameters: WorkerParameters = WorkerParameters(), now: Instant) {
        self.parameters = parameters
        link = .joining(nextHello: now)
        helloWait = parameters.helloFirst
        lastHeard = now
        lastSent = now
    }

    public var isJoined: Bool { link == .joined }

    /// Whether the compute thread has work.
    public var isBusy: Bool { !computing.isEmpty || !openingContexts.isEmpty }

    /// Takes one event and returns the actions in order.
    public mutating func handle(_ event: WorkerEvent, now: Instant) -> [WorkerAction] {
        actions.removeAll(keepingCapacity: true)
        guard link != .ended else { return actions }
        switch event {
        case .contextOpened, .computed, .returned, .failedTogether, .groupLimit, .progressed, .terminate, .tick: break
        default: lastHeard = now
        }
        switch event {
        case .welcomed(let terms, let keep): welcome(terms, keep, now)
        case .refused(let isFinal, let retryAfter): refuse(isFinal, retryAfter, now)
        case .reset: rejoin(now)
        case .pinged: if isJoined { say(.sendPong, now) }
        case .heard: break
        case .openContext(let context): openContext(context, now)
        case .closeContext(let context): closeContext(context)
        case .leased(let lease, let context, let base, let isAlone, let more):
            gathersUntil = more ? now + parameters.gather : nil
            take(lease, (base.map { [$0] } ?? []) + [context], isAlone: isAlone, now)
        case .acknowledged(let leases): acknowledge(leases)
        case .cancelled(let leases): giveUp(leases, stops: true, now)
        case .recalled(let leases): giveUp(leases, stops: false, now)
        case .drainRequested, .terminate: drain(now)
        case .dismissed(let comesBack): dismiss(comesBack, now)
        case .contextOpened(let context, let ok): contextOpened(context, ok, now)
        case .computed(let lease): computed(lease, now)
        case .returned(let leases): returned(leases, now)
        case .failedTogether(let leases): failedTogether(leases, now)
        case .groupLimit(let limit): changeGroupLimit(limit, now)
        case .progressed(let lease): progressed(lease, now)
        case .tick: tick(now)
        }
        startComputing(now)
        finishDrain(now)
        return actions
    }

    mutating func say(_ action: WorkerAction, _ now: Instant) {
        lastSent = now
        actions.append(action)
    }

    mutating func finish(_ end: WorkerEnd) {
        link = .ended
        actions.append(.end(end))
    }

    // MARK: The session

    private mutating func welcome(_ terms: WorkerTerms, _ keep: [LeaseID], _ now: Instant) {
        if !isJoined { begin(terms, keep, now) }
        // HELLO told the limit at its time. A limit that was told since then, without a session or in one that this WELCOME
        // replaces, reached nobody.
        if groupLimit != groupLimitTold { say(.sendCredit, now) }
        if isDraining { say(.sendDrain, now) }
    }

    private mutating func begin(_ terms: WorkerTerms, _ keep: [LeaseID], _ now: Instant) {
        self.terms = terms.bearable
        link = .joined
        helloWait = parameters.helloFirst
        for lease in held.keys where !keep.contains(lease) {
            if computing.contains(lease) {
                // If it is under way, its outcome will be sent, and counts if no other worker was faster.
                held.update(lease) { $0.isUnwanted = true }
                continue
            }
            held[lease] = nil
            actions.append(.forget(lease))
        }
        for lease in outbox.keys { sendOutcome(lease, now) }
    }

    private mutating func refuse(_ isFinal: Bool, _ retryAfter: Interval, _ now: Instant) {
        guard !isFinal else {
            finish(.refused)
            return
        }
        link = .joining(nextHello: now + max(retryAfter, helloWait))
    }

    /// The session is over: say HELLO again and keep the results.
    mutating func rejoin(_ now: Instant) {
        guard isJoined else { return }
        link = .joining(nextHello: now)
        helloWait = parameters.helloFirst
        sayHelloIfDue(now)
    }

    private mutating func dismiss(_ comesBack: Bool, _ now: Instant) {
        guard comesBack, !isDraining else {
            finish(isDraining ? .drained : .dismissed)
            return
        }
        link = .joining(nextHello: now + helloWait)
    }

    mutating func sayHelloIfDue(_ now: Instant) {
        guard case .joining(let due) = link, due <= now else { return }
        link = .joining(nextHello: now + helloWait)
        helloWait = min(Interval(nanoseconds: helloWait.nanoseconds &* 2), parameters.helloLast)
        groupLimitTold = groupLimit
        say(.sendHello(held: held.keys, unacked: outbox.keys), now)
    }

    private mutating func changeGroupLimit(_ limit: Int, _ now: Instant) {
        let limit = max(1, min(limit, parameters.slots))
        guard limit != groupLimit else { return }
        groupLimit = limit
        if isJoined { say(.sendCredit, now) }
    }

    // MARK: Contexts

    /// Whether the context is open or will be. The names of other contexts mean nothing.
    public func knows(_ context: ContextID) -> Bool { contexts.contains(context) || openingContexts.contains(context) }

    private mutating func openContext(_ context: ContextID, _ now: Instant) {
        unwantedContexts.remove(context)
        if contexts.contains(context) {
            say(.sendReady(context), now)
        } else if !openingContexts.contains(context) {
            openingContexts.append(context)
            actions.append(.open(context))
        }
    }

    private mutating func contextOpened(_ context: ContextID, _ ok: Bool, _ now: Instant) {
        openingContexts.removeAll { $0 == context }
        let isUnwanted = unwantedContexts.remove(context) != nil
        guard ok else {
            if isJoined { say(.sendContextFailed(context), now) }
            return
        }
        guard !isUnwanted else {
            actions.append(.close(context))
            return
        }
        contexts.removeAll { $0 == context }
        contexts.append(context)
        closeOldest()
        if isJoined { say(.sendReady(context), now) }
    }

    /// Leases that wait keep their contexts. These are few: a worker never gets more than two groups.
    private mutating func closeOldest() {
        guard contexts.count > parameters.contextLimit else { return }
        let needed = Set(held.keys.flatMap { held[$0]?.contexts ?? [] })
        for context in contexts.dropLast().filter({ !needed.contains($0) }).prefix(contexts.count - parameters.contextLimit) {
            closeContext(context)
        }
    }

    private mutating func closeContext(_ context: ContextID) {
        if openingContexts.contains(context) { unwantedContexts.insert(context) }
        guard contexts.contains(context) else { return }
        contexts.removeAll { $0 == context }
        actions.append(.close(context))
    }
}
