internal import Messages

/// Which jobs a worker's tasks belong to, one after another.
struct JobSequence {
    enum Change {
        /// The task is of the same job as the one before.
        case stays
        /// It is of a job that had tasks before, which takes turns with others.
        case returns
        /// It is the first of its job.
        case begins
    }

    /// The latest jobs, the last task's at the end.
    private var recent: [UniqueID] = []

    /// As many as are told apart: more than take turns on one worker.
    static let memory = 64

    mutating func next(_ job: UniqueID) -> Change {
        if recent.last == job { return .stays }
        let known = recent.firstIndex(of: job)
        if let known { recent.remove(at: known) } else if recent.count == Self.memory { recent.removeFirst() }
        recent.append(job)
        return known == nil ? .begins : .returns
    }
}
