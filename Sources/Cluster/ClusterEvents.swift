/// What the cluster knows of a worker.
public struct WorkerProfile: Sendable, Equatable {
    /// What failures are counted against. Today each process takes a random one, so a worker that is started again begins anew.
    public var worker: PeerID
    /// New at each start of the process: leases belong to it.
    public var instance: PeerID
    public var host: String
    /// Tasks it computes at once.
    public var slots: Int
    /// Leases it takes at once.
    public var credit: Int
    /// Workers of one class give the same bits.
    public var numericsClass: String
    /// The models it can run.
    public var models: [String]

    public init(
        worker: PeerID, instance: PeerID, host: String = "", slots: Int = 1, numericsClass: String, models: [String]
    ) {
        self.worker = worker
        self.instance = instance
        self.host = host
        self.slots = slots
        credit = slots + 1
        self.numericsClass = numericsClass
        self.models = models
    }
}

/// One task as the cluster sees it.
public struct ClusterTask: Sendable, Equatable {
    public var context: ContextID
    /// Relative to the job's other tasks.
    public var cost: Double
    /// Bytes of its message.
    public var byteCount: Int

    public init(context: ContextID, cost: Double = 1, byteCount: Int = 0) {
        self.context = context
        self.cost = cost
        self.byteCount = byteCount
    }
}

/// Why a task or a context was not done.
public enum FailureClass: Sendable, Equatable {
    /// The message was lost or damaged: nobody is at fault.
    case transport
    /// The worker is at fault.
    case worker
    /// The task is at fault.
    case payload
    /// The output holds NaN or infinity.
    case nonFinite
    /// The worker died on it.
    case unknown
    /// It was given back.
    case cancelled
}

/// Everything that happens to the cluster.
public enum ClusterEvent: Sendable, Equatable {
    /// A worker said HELLO. `held` are the leases of an earlier session that it still works on or has results of.
    case joined(SessionID, WorkerProfile, held: [LeaseID])
    /// A message came from the session and means nothing else.
    case heard(SessionID)
    /// The worker takes so many leases at once from now on.
    case credit(SessionID, Int)
    case contextReady(SessionID, ContextID)
    /// The worker does not have the context (any more).
    case contextMissing(SessionID, ContextID)
    case contextFailed(SessionID, ContextID, FailureClass, String)
    case accepted(SessionID, [LeaseID])
    case progressed(SessionID, LeaseID)
    /// A result whose frames were in order; its compute time where it is known.
    case result(SessionID, LeaseID, computeTime: Interval)
    case failed(SessionID, LeaseID, FailureClass, String)
    case cancelled(SessionID, [LeaseID])
    /// The worker takes no more leases.
    case draining(SessionID)
    /// The worker ended in order.
    case left(SessionID)
    /// The connection is gone; these leases were granted, but could not be sent any more.
    case disconnected(SessionID, undelivered: [LeaseID])
    /// The session broke the protocol.
    case strike(SessionID)

    case submitted(JobID, model: String)
    /// The next barrier of a job; the one before is finished with.
    case barrier(JobID, serial: Int, [ClusterTask])
    /// A result that had been taken turned out to be unusable.
    case rejected(TaskKey, FailureClass, String)
    /// The job is done, or its owner gave it up.
    case ended(JobID)

    /// Time has passed.
    case tick
}

/// What became of a result.
public enum Verdict: Sendable, Equatable { case accepted, duplicate, stale }

/// Why a session is ended by the coordinator.
public enum SessionEnd: Sendable, Equatable {
    /// It was silent for too long.
    case silent
    /// The connection went and did not come back.
    case lost
    /// It left as it should.
    case orderly
    /// It did not answer for its leases.
    case wedged
    /// Too many violations of the protocol.
    case strikes
    /// The same process has a newer session.
    case superseded
}

/// Why a job cannot be finished.
public enum JobFailure: Sendable, Equatable {
    /// A task failed on enough workers to be at fault itself.
    case poisoned(TaskKey, String)
    /// A task's output was not finite, twice.
    case numeric(TaskKey, String)
    /// No worker could load what the tasks share.
    case context(String)
    /// Nobody could work on it for too long.
    case starved(String)
}

/// Everything the cluster wants done.
public enum ClusterAction: Sendable, Equatable {
    /// Answer HELLO; of the leases it named, these go on.
    case welcome(SessionID, keep: [LeaseID])
    case openContext(SessionID, ContextID)
    case closeContext(SessionID, ContextID)
    case lease(SessionID, LeaseID, TaskKey, attempt: Int)
    case cancel(SessionID, [LeaseID])
    case acknowledge(SessionID, LeaseID, Verdict)
    /// Ask for a sign of life.
    case probe(SessionID)
    /// Keep the result that is in hand: it is the one that counts.
    case take(TaskKey, SessionID)
    /// Every task of the barrier has its result.
    case collected(JobID, serial: Int)
    /// A job waits because nobody can work on it; nil when it goes on.
    case waiting(JobID, String?)
    case jobFailed(JobID, JobFailure)
    /// Say BYE where the reason asks for it, and forget the session.
    case endSession(SessionID, SessionEnd)
}
