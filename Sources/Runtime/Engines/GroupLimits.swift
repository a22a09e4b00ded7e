internal import Cluster
internal import ContentHash
internal import Rendering

/// Decides how many tasks a worker computes in one call of the network. The one place for this decision.
///
/// The bits of a picture do not depend on it, so it may follow this host's memory and speed. A worker begins with single tasks
/// and learns from each call, for each job and phase anew.
struct GroupLimits {
    /// This host, as it is now.
    struct Host {
        /// Bytes of memory that new activations may take; nil if the system does not say.
        var freeBytes: () -> Int? = HostMemory.freeBytes
        /// The number of workers that share them.
        var workers: () -> Int = { 1 }
        var now: () -> Instant = monotonicNow
    }

    /// The most tasks in any group: the worker's slots.
    let largest: Int
    /// The longest time of a group: a worker that is asked to leave finishes it first, and others cannot help with it.
    static let seconds = 10.0
    /// The groups of all workers of a host take at most this share of its free memory, each worker an equal part. When workers
    /// come, that holds for groups begun from then on. Memory that a worker keeps from larger groups goes when its next job
    /// begins.
    static let shareOfFreeMemory = 0.5
    /// The longest time for which a look at the memory holds. Short calls follow each other faster than the system counts.
    static let lookEvery = Interval.seconds(1)

    /// The number of jobs and phases that it remembers. Jobs that take turns are few.
    static let memorySize = 8

    private let host: Host
    /// The bytes and seconds of the last call of each job and phase, for each unit of a task's cost; the latest comes last.
    /// Costs of other models and phases do not compare.
    private var calls: [(context: SHA256Digest, phase: RenderPhase, bytes: Double, seconds: Double)] = []
    /// The last look at the memory: the bytes for this worker's groups, without a limit where the system does not say.
    private var room: (bytes: Double, time: Instant)?

    init(largest: Int, host: Host = Host()) { (self.largest, self.host) = (max(1, largest), host) }

    /// Notes the cost of a call.
    ///
    /// - Parameter peakBytes: the most bytes of activations in use at once.
    mutating func learn(_ group: [RenderTask], seconds: Double, peakBytes: Int) {
        let cost = group.reduce(0) { $0 + $1.cost }
        guard cost > 0 else { return }
        let key = (group[0].contextHash, group[0].phase)
        calls.removeAll { ($0.context, $0.phase) == key }
        calls.append((key.0, key.1, Double(peakBytes) / cost, seconds / cost))
        if calls.count > Self.memorySize { calls.removeFirst() }
    }

    /// The most tasks like this one in a group, at least 1.
    ///
    /// - Parameter idleBytes: memory that this worker keeps for activations, which counts as used.
    mutating func limit(of task: RenderTask, idleBytes: Int) -> Int {
        let call = calls.last { ($0.context, $0.phase) == (task.contextHash, task.phase) }
        guard largest > 1, let call else { return 1 }
        let (bytes, seconds) = (max(1, call.bytes * task.cost), max(1e-6, call.seconds * task.cost))
        return max(1, Int(min(Double(largest), Self.seconds / seconds, roomBytes(idleBytes) / bytes)))
    }

    /// The bytes that tiles may keep between two sections of their decoding: as much as groups.
    ///
    /// - Parameter idleBytes: memory that this worker keeps already.
    mutating func keptTileBytes(idleBytes: Int) -> Int { Int(min(roomBytes(idleBytes), Double(1 << 50))) }

    /// The bytes that this worker's groups may take. The memory that it keeps is among them: memory that it took before does
    /// not count against it. So all groups together stay below their share, however often the workers look.
    private mutating func roomBytes(_ idleBytes: Int) -> Double {
        let now = host.now()
        if let room, now.since(room.time) < Self.lookEvery { return room.bytes }
        let free = host.freeBytes().map { Double($0) + Double(idleBytes) }
        let bytes = free.map { $0 * Self.shareOfFreeMemory / Double(max(1, host.workers())) } ?? .infinity
        room = (bytes, now)
        return bytes
    }
}
