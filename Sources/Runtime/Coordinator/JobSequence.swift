internal import Messages

/// The jobs of a worker's latest tasks.
struct JobSequence {
    enum Change {
        /// The task belongs to the same job as the one before.
        case stays
        /// The task belongs to an earlier job. Several jobs take turns.
        case returns
        /// It is the first of its job.
        case begins
    }

    /// The latest jobs, in order; the last task's job is at the end.
    private var recent: [UniqueID] = []

    /// The number of jobs remembered: more than take turns on one worker.
    static let memory = 64

    mutating func next(_ job: UniqueID) -> Change {
        if recent.last == job { return .stays }
        let known = recent.firstIndex(of: job)
        if let known { recent.remove(at: known) } else if recent.count == Self.memory { recent.removeFirst() }
        recent.append(job)
        return known == nil ? .begins : .returns
    }
}
