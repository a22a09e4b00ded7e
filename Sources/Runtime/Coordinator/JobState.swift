internal import Cluster
internal import Messages
internal import Places

/// The submitter of a job.
enum JobOwner {
    case local(AsyncStream<JobEvent>.Continuation)
    case client(CoordinatorLoop.Route)

    /// The client's connection; nil if this process submitted the job.
    var route: CoordinatorLoop.Route? {
        if case .client(let route) = self { route } else { nil }
    }
}

/// The I/O thread's record of a job.
struct JobState {
    let uuid: UniqueID
    let owner: JobOwner
    let submitted: Instant
    /// CPU time of the coordinator's wire threads at submission.
    let wireAtSubmission: Int64
    var plan: JobOutline?
    /// Bytes of the picture that came with the request. They stay as long as the job.
    var attachmentBytes = 0
    var barrier: EngineBarrier?
    var serial = -1
    /// The contexts of the barrier: its own, and the one that it builds on.
    var contexts: [ContextID] = []
    var outputs: [EncodedPart?] = []
    var tasksDone = 0
    var firstLease: Instant?
    var lastPublished: Instant?
    var timings = RenderTimings()
    var counts = RenderCounts()
    /// CPU time on the wire of the job's workers.
    var workerWire: Int64 = 0

    /// Adds the cost of a result that entered the barrier.
    mutating func count(_ result: ResultInHand) {
        guard let phase = barrier?.place.phase else { return }
        workerWire = workerWire.addingSaturating(result.wireMicroseconds * 1000)
        counts.add(operations: result.effort.operations, to: phase)
        counts.workerPeakBytes = max(counts.workerPeakBytes, result.effort.peakBytes)
        counts.workerPeakActivationBytes = max(counts.workerPeakActivationBytes, result.effort.peakActivationBytes)
        counts.bytesReceived = counts.bytesReceived.addingSaturating(result.messageBytes)
        count(.microseconds(result.computeMicroseconds), of: phase)
    }

    private mutating func count(_ compute: Duration, of phase: String) {
        if let position = timings.phases.firstIndex(where: { $0.name == phase }) {
            timings.phases[position].compute += compute
            timings.phases[position].tasks += 1
        } else {
            timings.phases.append(RenderTimings.Phase(name: phase, compute: compute, tasks: 1))
        }
    }
}

/// Numbers the contexts: the cluster uses numbers, the wire uses content hashes. Jobs with equal content share a context.
struct ContextRegistry {
    struct Entry {
        let hash: String
        let part: EncodedPart
        var users: Int
    }

    private var entries: [ContextID: Entry] = [:]
    private var ids: [String: ContextID] = [:]
    private var next: UInt64 = 1

    /// Adds a user of a context and returns its number.
    mutating func retain(_ hash: String, _ part: EncodedPart) -> ContextID {
        if let id = ids[hash] {
            entries[id]?.users += 1
            return id
        }
        let id = ContextID(next)
        next += 1
        ids[hash] = id
        entries[id] = Entry(hash: hash, part: part, users: 1)
        return id
    }

    /// Removes a user. The context goes with its last user.
    mutating func release(_ id: ContextID) {
        entries[id]?.users -= 1
        guard let entry = entries[id], entry.users == 0 else { return }
        entries[id] = nil
        ids[entry.hash] = nil
    }

    subscript(id: ContextID) -> Entry? { entries[id] }

    func id(of hash: String) -> ContextID? { ids[hash] }
}
