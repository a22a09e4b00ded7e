/// The numbers the cluster lives by. Durations count on the coordinator's monotonic clock; workers adopt them from WELCOME.
public struct ClusterParameters: Sendable, Equatable {
    /// An idle peer says something this often.
    public var heartbeat = Interval.seconds(2)
    /// Silence after which a peer counts as dead: five missed heartbeats.
    public var silence = Interval.seconds(10)
    /// A session with leases that has been silent this long is asked for a sign of life, which also shows whether its
    /// connection still exists.
    public var probe = Interval.milliseconds(500)
    /// How long the leases of a lost connection wait for their worker to come back.
    public var reconnectGrace = Interval.seconds(3)
    /// How long a task may show no progress. Tasks that take long by nature get four times what they usually take.
    public var lease = Interval.seconds(30)
    /// How often a worker tells progress while there is some.
    public var progress = Interval.seconds(5)
    /// How long a lease may stay unconfirmed, besides the time its bytes need.
    public var accept = Interval.seconds(5)
    /// The slowest link that is not taken for a dead one, bytes a second.
    public var slowestLinkBytesPerSecond = 1_000_000
    /// How long a worker may hold back the confirmation of a lease: a result that comes sooner confirms it by itself.
    public var acceptDelay = Interval.milliseconds(250)
    /// How long a worker waits for the acknowledgement of a result before it sends it again.
    public var resend = Interval.seconds(5)
    /// How long a worker may take to load a context before it is asked again.
    public var contextResend = Interval.seconds(5)
    /// How long loading a context (and the weights) may take at all.
    public var contextBudget = Interval.seconds(600)
    /// Waits before a failed task is tried again, from the second failure on; the first retry is at once, because a barrier
    /// waits.
    public var retryDelays: [Interval] = [.milliseconds(0), .seconds(1), .seconds(4), .seconds(15)]
    /// Distinct workers that must fail a task before the task is at fault.
    public var poisonWorkers = 3
    /// Deaths of workers on different tasks within this time are taken for trouble of the machines, not of the tasks.
    public var massDeathWindow = Interval.seconds(10)
    /// How long a job waits without a worker that could take it before it says so.
    public var starvation = Interval.seconds(60)
    /// Whether a job that nobody could work on for `starvation` fails (for a coordinator whose workers are its own children) or
    /// waits on for a worker to come.
    public var failsStarvedJobs = false
    /// A task is tried twice at once when it is this much older than its siblings took, in hundredths of their median.
    public var stragglerPercentOfMedian = 150
    public var stragglerMinimumAge = Interval.milliseconds(500)
    /// Payload bytes on the way to or waiting in one worker.
    public var bytesPerWorker = 64 << 20
    /// Violations of the protocol within a minute after which a session is dropped.
    public var strikesPerMinute = 10

    public init() {}

    /// How long a lease of so many bytes may stay unconfirmed.
    func acceptTimeout(bytes: Int) -> Interval {
        let seconds = Double(bytes) / Double(max(1, slowestLinkBytesPerSecond))
        return Interval(nanoseconds: accept.nanoseconds &+ Int64(min(seconds, 86_400) * 1e9))
    }
}
