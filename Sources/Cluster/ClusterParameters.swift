/// Times that a coordinator sends its workers in WELCOME.
public struct WorkerTerms: Sendable, Equatable {
    /// The time between two signs of life of an idle peer.
    public var heartbeat = Interval.seconds(2)
    /// A peer that is silent this long counts as dead: five missed heartbeats.
    public var silence = Interval.seconds(10)
    /// The time between two progress reports of a worker, if there is progress.
    public var progress = Interval.seconds(5)
    /// The longest time that a worker holds back the confirmation of a lease. An earlier result confirms the lease by itself.
    public var acceptDelay = Interval.milliseconds(250)
    /// The time that a worker waits for the acknowledgement of a result before it sends the result again.
    public var resend = Interval.seconds(5)

    public init() {}

    /// The terms, with each wait raised to a minimum. With shorter waits from a coordinator a worker would do nothing but talk.
    var bearable: WorkerTerms {
        var terms = self
        terms.heartbeat = max(heartbeat, .milliseconds(10))
        terms.silence = max(silence, .milliseconds(100))
        terms.progress = max(progress, .milliseconds(10))
        terms.resend = max(resend, .milliseconds(100))
        return terms
    }
}

/// The timing and limits of the cluster. Durations count on the coordinator's monotonic clock.
public struct ClusterParameters: Sendable, Equatable {
    public var terms = WorkerTerms()
    /// A session with leases that is silent this long is asked for a sign of life. This also shows whether its connection
    /// still exists.
    public var probe = Interval.milliseconds(500)
    /// The time that the leases of a lost connection wait for their worker to come back.
    public var reconnectGrace = Interval.seconds(3)
    /// The longest time of a task without progress. Slow tasks get four times their usual duration.
    public var lease = Interval.seconds(30)
    /// The longest time that a lease stays unconfirmed, besides the time for its bytes.
    public var accept = Interval.seconds(5)
    /// The slowest link that does not count as dead, in bytes a second.
    public var slowestLinkBytesPerSecond = 1_000_000
    /// The longest time that threads wait for a worker that loads their context, if others are there.
    public var homeWait = Interval.seconds(2)
    /// The time that a worker may load a context before it is asked again.
    public var contextResend = Interval.seconds(5)
    /// The longest time that a worker may load a context (and the weights).
    public var contextBudget = Interval.seconds(600)
    /// The waits before a failed task is tried again, from the second failure on. The first retry is at once, because a
    /// barrier waits.
    public var retryDelays: [Interval] = [.milliseconds(0), .seconds(1), .seconds(4), .seconds(15)]
    /// The number of distinct workers that must fail a task before the task is at fault.
    public var poisonWorkers = 3
    /// Deaths of workers on different tasks within this time count against the machines, not the tasks.
    public var massDeathWindow = Interval.seconds(10)
    /// The time that a job waits without a worker that could take its tasks before it says so.
    public var starvation = Interval.seconds(60)
    /// Whether such a job fails after `starvation` (if the workers are the coordinator's own children) or keeps waiting for a
    /// worker.
    public var failsStarvedJobs = false
    /// A second try of a task starts when the task is this much older than its siblings were, in hundredths of their median.
    public var stragglerPercentOfMedian = 150
    public var stragglerMinimumAge = Interval.milliseconds(500)
    /// The largest number of payload bytes on the way to one worker or waiting in it.
    public var bytesPerWorker = 64 << 20
    /// A session is dropped after this number of protocol violations within a minute.
    public var strikesPerMinute = 10

    public init() {}

    /// The longest time that a lease of this number of bytes stays unconfirmed.
    func acceptTimeout(bytes: Int) -> Interval {
        let seconds = Double(bytes) / Double(max(1, slowestLinkBytesPerSecond))
        return Interval(nanoseconds: accept.nanoseconds &+ Int64(min(seconds, 86_400) * 1e9))
    }
}
