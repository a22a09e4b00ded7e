public import Sentences

/// A worker as the cluster sees it.
public struct WorkerProfile: Sendable, Equatable {
    /// Failures count against this name. Today each process takes a random one, so a worker that is started again begins anew.
    public var worker: PeerID
    /// New at each start of the process. Leases belong to it.
    public var instance: PeerID
    public var host: String
    /// The largest number of tasks that it computes at once: its largest group.
    public let slots: Int
    /// The number of leases it takes at once: the group that it computes, and the next one.
    public private(set) var credit: Int
    /// The worker's numerics class. Workers of one class compute the same bits.
    public var numericsClass: String
    /// The models it can run.
    public var models: [String]
    /// The precisions that it computes in.
    public var precisions: [String]
    /// Bytes of memory that it may use; 0 if it does not know.
    public var memoryBytes: Int

    public init(
        worker: PeerID, instance: PeerID, host: String = "", slots: Int = 1, numericsClass: String, models: [String],
        precisions: [String] = [], memoryBytes: Int = 0
    ) {
        self.worker = worker
        self.instance = instance
        self.host = host
        self.slots = slots
        credit = WorkerProfile.credit(slots: slots)
        self.numericsClass = numericsClass
        self.models = models
        self.precisions = precisions
        self.memoryBytes = memoryBytes
    }

    /// The most leases of a worker that computes `slots` tasks at once: the next group waits there while one is computed, so
    /// that nobody waits for messages.
    public static func credit(slots: Int) -> Int { 2 * slots }

    /// Sets the number of leases that the worker says it takes, within the limit of its slots.
    public mutating func setCredit(_ credit: Int) { self.credit = min(max(0, credit), largestCredit) }

    /// The most leases that it ever holds.
    var largestCredit: Int { WorkerProfile.credit(slots: slots) }

    /// The number of tasks that it computes at once now. A worker that can take fewer than its slots says so by its credit.
    var groupSize: Int { max(1, min(slots, credit / 2)) }
}

/// One task as the cluster sees it.
public struct ClusterTask: Sendable, Equatable {
    public var context: ContextID
    /// The context that `context` builds on, which its worker must hold too; nil if there is none.
    public var base: ContextID?
    /// The cost of the task, relative to the job's other tasks of its kind.
    public var cost: Double
    /// The kind of work within the job. Costs of different kinds, and those of different models, do not compare.
    public var kind: UInt8
    /// The size of its message in bytes.
    public var byteCount: Int
    /// The number of the thread that the task continues, if its worker keeps data for the next barrier. Such tasks go to the
    /// worker that computed the last task with this number, as long as it is there. Others can compute them too, but take
    /// longer.
    public var thread: Int?

    public init(
        context: ContextID, base: ContextID? = nil, cost: Double = 1, kind: UInt8 = 0, byteCount: Int = 0, thread: Int? = nil
    ) {
        self.context = context
        self.base = base
        self.thread = thread
        self.cost = cost
        self.kind = kind
        self.byteCount = byteCount
    }
}

extension ClusterTask {
    /// All contexts that its worker must hold, in the order in which they are opened.
    var contexts: [ContextID] { (base.map { [$0] } ?? []) + [context] }
}

/// Why a task or a context failed.
public enum FailureClass: Sendable, Equatable {
    /// The message was lost or damaged. Nobody is at fault.
    case transport
    /// The worker is at fault.
    case worker
    /// The task is at fault.
    case payload
    /// The output contains NaN or infinity.
    case nonFinite
    /// The worker died while it computed the task.
    case unknown
    /// The worker gave the task back.
    case cancelled
}

/// Every event of the cluster.
public enum ClusterEvent: Sendable, Equatable {
    /// A worker said HELLO. `held` are the leases of an earlier session that it still computes or has results of.
    case joined(SessionID, WorkerProfile, held: [LeaseID])
    /// A message without any other meaning came from the session.
    case heard(SessionID)
    /// From now on the worker takes this number of leases at once.
    case credit(SessionID, Int)
    case contextReady(SessionID, ContextID)
    /// The worker does not have the context, or no longer has it.
    case contextMissing(SessionID, ContextID)
    case contextFailed(SessionID, ContextID, Sentence)
    case accepted(SessionID, [LeaseID])
    case progressed(SessionID, LeaseID)
    /// A result with all frames in order, and its compute time if known.
    case result(SessionID, LeaseID, computeTime: Interval)
    case failed(SessionID, LeaseID, FailureClass, Sentence)
    case cancelled(SessionID, [LeaseID])
    /// The worker takes no more leases.
    case draining(SessionID)
    /// The worker ended in order.
    case left(SessionID)
    /// The connection is gone. These leases were granted but could not be sent.
    case disconnected(SessionID, undelivered: [LeaseID])
    /// The session broke the protocol.
    case strike(SessionID)

    /// A job for workers that meet its needs.
    case submitted(JobID, WorkerNeeds)
    /// The next barrier of a job. The one before is finished.
    case barrier(JobID, serial: Int, [ClusterTask])
    /// A result that was taken cannot be used.
    case rejected(TaskKey, FailureClass, Sentence)
    /// The job is done, or its owner gave it up.
    case ended(JobID)

    /// Time has passed.
    case tick
}

extension ClusterEvent {
    /// The known session that says something: each such event is a sign of life. nil for events of the coordinator, for a
    /// session that begins and for a broken connection.
    var speaker: SessionID? {
        switch self {
        case .heard(let id), .credit(let id, _), .contextReady(let id, _), .contextMissing(let id, _),
            .contextFailed(let id, _, _), .accepted(let id, _), .progressed(let id, _), .result(let id, _, _),
            .failed(let id, _, _, _), .cancelled(let id, _), .draining(let id), .left(let id), .strike(let id):
            id
        case .joined, .disconnected, .submitted, .barrier, .rejected, .ended, .tick: nil
        }
    }
}

/// The decision about a result.
public enum Verdict: Sendable, Equatable { case accepted, duplicate, stale }

/// Why the coordinator ends a session.
public enum SessionEnd: Sendable, Equatable {
    /// It was silent for too long.
    case silent
    /// The connection broke and did not come back.
    case lost
    /// The worker left in order.
    case orderly
    /// The worker did not answer for its leases.
    case wedged
    /// The worker broke the protocol too often.
    case strikes
    /// The same process has a newer session.
    case superseded
}

/// Why a job cannot be finished.
public enum JobFailure: Sendable, Equatable {
    /// A task failed on so many workers that the task itself is at fault.
    case poisoned(TaskKey, Sentence)
    /// A task's output was not finite, twice.
    case numeric(TaskKey, Sentence)
    /// No worker could load the tasks' context.
    case context(Sentence)
    /// No worker could take a task for too long.
    case starved(Sentence)
}

/// Every action that the cluster requests.
public enum ClusterAction: Sendable, Equatable {
    /// Answer HELLO. `keep` are the leases of those it named that go on.
    case welcome(SessionID, keep: [LeaseID])
    case openContext(SessionID, ContextID)
    case closeContext(SessionID, ContextID)
    /// Grant a lease. The number of the task's earlier leases is for people; a task that is `alone` shares no call with others.
    case lease(SessionID, LeaseID, TaskKey, attempt: Int, alone: Bool)
    /// Nobody wants the results of these leases.
    case cancel(SessionID, [LeaseID])
    /// Others get the tasks of these leases. A late result still counts.
    case recall(SessionID, [LeaseID])
    case acknowledge(SessionID, LeaseID, Verdict)
    /// Ask for a sign of life.
    case probe(SessionID)
    /// Keep the result that has just arrived: it counts.
    case take(TaskKey, SessionID)
    /// Every task of the barrier has its result.
    case collected(JobID, serial: Int)
    /// A job waits because no worker can take its tasks; nil when it goes on.
    case waiting(JobID, Sentence?)
    case jobFailed(JobID, JobFailure)
    /// Say BYE if the reason calls for it, and forget the session.
    case endSession(SessionID, SessionEnd)
}
