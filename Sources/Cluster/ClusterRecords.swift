/// A worker's session.
struct Session: Sendable {
    enum ContextState: Sendable, Equatable {
        case opening(since: Instant, asked: Instant)
        case ready
        case failed
    }

    /// A lease the worker has not answered for yet.
    struct Outstanding: Sendable {
        let lease: LeaseID
        let cost: Double
        let bytes: Int
        let sent: Instant
        var isAccepted = false
        /// When the worker can have begun to compute it: nil while it waits behind others.
        var active: Instant?
        /// When it has shown no life for too long.
        var expires: Instant?
        /// Nobody wants it any more; the worker was told.
        var isCancelled = false
    }

    enum State: Sendable, Equatable {
        case ready
        /// Takes no more leases; finishes what it has.
        case draining
        /// A lease showed no progress in time; gets nothing until it answers.
        case suspect
        /// The connection is gone; waiting for its worker until then.
        case lost(until: Instant)
    }

    var profile: WorkerProfile
    var state = State.ready
    var contexts = OrderedTable<ContextID, ContextState>()
    var outstanding: [Outstanding] = []
    var lastHeard: Instant
    var lastProbe: Instant
    /// Leases in a row that ran out of time.
    var expiriesInARow = 0
    /// Cost per second, from the results so far.
    var speed: Double?
    var strikes: [Instant] = []

    var outstandingCost: Double { outstanding.reduce(0) { $0 + $1.cost } }
    var outstandingBytes: Int { outstanding.reduce(0) { $0 + $1.bytes } }
    var freeCredit: Int { state == .ready ? max(0, profile.credit - outstanding.count) : 0 }
    var isIdle: Bool { outstanding.count < profile.slots }

    mutating func learnSpeed(cost: Double, time: Interval) {
        guard time.nanoseconds > 0 else { return }
        let sample = cost / (Double(time.nanoseconds) / 1e9)
        speed = speed.map { 0.75 * $0 + 0.25 * sample } ?? sample
    }
}

/// One try at a task, remembered until its barrier is over and its worker has answered, so that a late result still counts.
struct Lease: Sendable {
    let task: TaskKey
    let instance: PeerID
    let worker: PeerID
    var session: SessionID
    let attempt: Int
    let sent: Instant
    /// Still one of the tries the task waits for.
    var isLive = true
    let isSpeculative: Bool
}

/// One task of the open barrier.
struct TaskRecord: Sendable {
    enum Status: Sendable, Equatable { case open, leased, done }

    let task: ClusterTask
    var status = Status.open
    /// Live leases, at most two.
    var leases: [LeaseID] = []
    var attempts = 0
    /// Workers that failed it, in order; they never get it again.
    var failedWorkers: [PeerID] = []
    /// Workers whose failure counts against the task.
    var blame: [PeerID] = []
    var nonFiniteCount = 0
    var failures = 0
    var notBefore: Instant?
    /// Who gave the result that was taken.
    var takenFrom: PeerID?
    var lastFailure = ""
}

struct BarrierRecord: Sendable {
    let serial: Int
    var tasks: [TaskRecord]
    /// Indices of open tasks, the most expensive first.
    var queue: [Int]
    var doneCount = 0
    var isCollected = false
    /// Ages at which tasks were done, for the straggler rule.
    var durations: [Int64] = []
    var speculativeCount = 0

    /// Whether any worker may still answer for one of its tasks.
    var hasLiveLeases: Bool { tasks.contains { !$0.leases.isEmpty } }
}

struct Job: Sendable {
    let model: String
    /// The class of the first worker that got one of its tasks.
    var numericsClass: String?
    var barrier: BarrierRecord?
    /// Results of an earlier barrier or of this one were taken: the class cannot change any more.
    var hasResults = false
    var starvedSince: Instant?
    var saidWaiting = false
}

/// A worker's death that was counted against a task, kept for the mass-death rule.
struct DeathRecord: Sendable {
    let time: Instant
    let task: TaskKey
    let worker: PeerID
}
