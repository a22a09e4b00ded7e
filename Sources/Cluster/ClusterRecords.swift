import Sentences

/// A kind of work. Costs of different kinds do not compare, so workers have a speed for each.
struct WorkKind: Sendable, Hashable {
    let model: String
    /// The number of the task's kind, within its job.
    let number: UInt8
}

/// A worker's session.
struct Session: Sendable {
    enum ContextState: Sendable, Equatable {
        case opening(since: Instant, asked: Instant)
        case ready
        case failed
    }

    /// A lease that the worker has not answered for yet.
    struct Outstanding: Sendable {
        let lease: LeaseID
        let job: JobID
        let kind: WorkKind
        let cost: Double
        let bytes: Int
        let sent: Instant
        /// Whether the worker computes its task alone: see `TaskRecord.isSuspect`.
        let isAlone: Bool
        var isAccepted = false
        /// The time at which the worker can have begun to compute it; nil while it waits behind others.
        var active: Instant?
        /// The time at which it runs out for lack of progress.
        var expires: Instant?
        /// Whether nobody counts on it any more, and the worker was told so.
        var isCancelled = false
        /// Whether the worker was only told that others get its task. It may still compute it.
        var isRecalled = false
    }

    enum State: Sendable, Equatable {
        case ready
        /// Takes no more leases, and finishes those it has.
        case draining
        /// A lease showed no progress in time. The worker gets nothing until it answers.
        case suspect
        /// The connection is gone. The session waits for its worker until the given time.
        case lost(until: Instant)
    }

    var profile: WorkerProfile
    var state = State.ready
    var contexts = OrderedTable<ContextID, ContextState>()
    var outstanding: [Outstanding] = []
    var lastHeard: Instant
    var lastProbe: Instant
    /// The number of leases in a row that ran out of time.
    var expiriesInARow = 0
    /// Cost per second for each kind of work, from the results so far.
    var speeds: [WorkKind: Double] = [:]
    var strikes: [Instant] = []

    var outstandingBytes: Int { outstanding.reduce(0) { $0 + $1.bytes } }
    var freeCredit: Int { state == .ready ? max(0, profile.credit - outstanding.count) : 0 }
    var isIdle: Bool { outstanding.isEmpty }

    /// The leases whose tasks the worker can be computing: its first group. It takes its leases in order.
    var firstGroup: ArraySlice<Outstanding> {
        guard let first = outstanding.first, !first.isAlone else { return outstanding.prefix(1) }
        return outstanding.prefix(profile.groupSize).prefix { !$0.isAlone }
    }

    /// Leases of a job that count: cancelled ones are of no more use to it.
    func leaseCount(of job: JobID) -> Int { outstanding.count { $0.job == job && !$0.isCancelled } }

    var isLost: Bool {
        if case .lost = state { true } else { false }
    }

    /// The state of a task's contexts together; nil if one of them was not asked for.
    func state(of task: ClusterTask) -> ContextState? {
        let states = task.contexts.map { contexts[$0] }
        if states.contains(.failed) { return .failed }
        if states.contains(nil) { return nil }
        return states.first { $0 != .ready } ?? .ready
    }

    /// Whether it loads a context.
    var isOpening: Bool {
        contexts.values.contains { if case .opening = $0 { true } else { false } }
    }

    /// Changes a lease that the worker has not answered for.
    mutating func update(_ lease: LeaseID, _ body: (inout Outstanding) -> Void) {
        if let position = outstanding.firstIndex(where: { $0.lease == lease }) { body(&outstanding[position]) }
    }

    /// Many things can slow a task down, such as the first use of a network; nothing makes it too fast. So a faster result
    /// counts more.
    mutating func learnSpeed(of kind: WorkKind, cost: Double, time: Interval) {
        guard time.nanoseconds > 0 else { return }
        let sample = cost / (Double(time.nanoseconds) / 1e9)
        guard let speed = speeds[kind] else {
            speeds[kind] = sample
            return
        }
        let weight = sample > speed ? 0.5 : 0.25
        speeds[kind] = (1 - weight) * speed + weight * sample
    }

    /// The seconds until its leases are done.
    ///
    /// - Parameter speed: for kinds of work that it has not done.
    func busySeconds(_ speed: Double) -> Double {
        outstanding.reduce(0) { $0 + $1.cost / (speeds[$1.kind] ?? speed) }
    }
}

/// One try at a task. It is remembered until its barrier is over and its worker has answered, so that a late result still
/// counts.
struct Lease: Sendable {
    let task: TaskKey
    let instance: PeerID
    let worker: PeerID
    var session: SessionID
    let sent: Instant
    /// Whether the task still waits for this try.
    var isLive = true
}

/// One task of the open barrier.
struct TaskRecord: Sendable {
    enum Status: Sendable, Equatable { case open, leased, done }

    let task: ClusterTask
    var status = Status.open
    /// Live leases, at most two.
    var leases: [LeaseID] = []
    /// The number of all its leases so far.
    var attempts = 0
    /// Whether a try went wrong: it failed, or its worker died, hung, fell silent or ended while it may have computed the task.
    /// Such a task is computed alone, so that it takes no others with it. A lease that was lost or given back says nothing.
    var isSuspect = false
    /// The workers that failed it, in order. They never get it again.
    var failedWorkers: [PeerID] = []
    /// The workers whose failure counts against the task.
    var blame: [PeerID] = []
    var nonFiniteCount = 0
    var failures = 0
    var notBefore: Instant?
    /// The worker whose result was taken.
    var takenFrom: PeerID?
    var lastFailure: Sentence = ""
}

struct BarrierRecord: Sendable {
    let serial: Int
    var tasks: [TaskRecord]
    /// The contexts of the tasks, each once, in the order in which they are opened.
    let contexts: [ContextID]
    /// Indices of open tasks, ordered for dispatch: the last is next.
    var queue: [Int]
    var doneCount = 0
    /// The ages at which tasks were done, for the straggler rule.
    var durations = SortedDurations()
    var speculativeCount = 0

    init(serial: Int, tasks: [ClusterTask]) {
        self.serial = serial
        self.tasks = tasks.map { TaskRecord(task: $0) }
        var seen: Set<ContextID> = []
        contexts = tasks.flatMap(\.contexts).filter { seen.insert($0).inserted }
        // The next task is the last of the queue: the most expensive first, then the lowest index.
        queue = tasks.indices.sorted { (tasks[$1].cost, $0) > (tasks[$0].cost, $1) }
    }

    /// Whether every task is done.
    var isCollected: Bool { doneCount == tasks.count }

    /// Whether any worker may still answer for one of its tasks.
    var hasLiveLeases: Bool { tasks.contains { !$0.leases.isEmpty } }
}

struct Job: Sendable {
    let needs: WorkerNeeds
    /// The class of the first worker that got one of its tasks.
    var numericsClass: String?
    var barrier: BarrierRecord?
    /// The worker processes that computed the last task of each thread.
    var homes: [Int: PeerID] = [:]
    /// Whether results of this or an earlier barrier were taken. Then the class cannot change any more.
    var hasResults = false
    var starvedSince: Instant?
    var saidWaiting = false

    init(_ needs: WorkerNeeds) { self.needs = needs }

    /// The key of a worker's speed at a task.
    func kind(of task: ClusterTask) -> WorkKind { WorkKind(model: needs.model, number: task.kind) }
}

/// A worker's death that counted against a task, kept for the mass-death rule.
struct DeathRecord: Sendable {
    let time: Instant
    let task: TaskKey
    let worker: PeerID
}
