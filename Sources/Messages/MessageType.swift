/// The meaning of a message. Numbers below 64 are for workers and the coordinator, numbers from 64 on for clients and the
/// coordinator.
public enum MessageType: UInt8, Sendable, CaseIterable {
    /// Peer → coordinator: who I am and what I can do.
    case hello = 1
    /// Coordinator → peer: the session and its numbers.
    case welcome = 2
    /// Coordinator → peer: no, and whether to try again.
    case refuse = 3
    case ping = 4
    case pong = 5
    /// Worker → coordinator: how many leases it takes at once.
    case credit = 6
    /// Coordinator → worker: the common context of a barrier's tasks.
    case jobOpen = 7
    /// Worker → coordinator: the context is loaded.
    case jobReady = 8
    /// Worker → coordinator: the context is missing, send it again.
    case needJob = 9
    /// Coordinator → worker: compute this task.
    case lease = 10
    /// Worker → coordinator: these leases arrived and are queued.
    case accept = 11
    /// Worker → coordinator: the computation goes on.
    case progress = 12
    /// Worker → coordinator: a task's output.
    case result = 13
    /// Coordinator → worker: these results arrived; forget them.
    case resultAck = 14
    /// Worker → coordinator: a task or a context failed.
    case fail = 15
    /// Coordinator → worker: nobody wants the results of these leases. Stop them.
    case cancel = 16
    /// Worker → coordinator: these leases are gone.
    case cancelled = 17
    /// Either way: no more leases.
    case drain = 18
    /// Either way: the orderly end.
    case bye = 19
    /// Coordinator → peer: unknown session or old epoch; send HELLO again and keep your results.
    case reset = 20
    /// Coordinator → worker: drop a context.
    case jobClose = 21
    /// Coordinator → worker: others get the tasks of these leases. Drop a task that is not begun; a late result counts.
    case recall = 22

    /// Client → coordinator: render this.
    case submit = 64
    /// Coordinator → client: the job's name and place in the queue.
    case submitted = 65
    /// Coordinator → client: the progress of the job.
    case jobEvent = 66
    /// Coordinator → client: one piece of the finished picture.
    case jobResult = 67
    /// Client → coordinator: stop the job.
    case jobCancel = 68
    /// Client → coordinator: the pieces of the finished picture that are missing.
    case jobFetch = 69
}
