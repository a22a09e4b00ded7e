internal import ContentHash
internal import Rendering

/// Decides how many tasks a worker computes in one call of the network. The one place for this decision.
///
/// The bits of a picture do not depend on it, so it may follow this host's memory and speed. A worker begins with single tasks
/// and learns from each call, for each job and phase anew.
struct GroupLimits {
    /// The most tasks in any group: the worker's slots.
    let largest: Int
    /// A group should not take longer: a worker that is asked to leave finishes it first, and others cannot help with it.
    static let seconds = 10.0
    /// The share of this host's free memory for a group. Other workers look at the same memory.
    static let shareOfFreeMemory = 0.25
    /// A group of so few bytes is taken without a look at the free memory.
    static let smallBytes = 64.0 * 1024 * 1024

    /// Of the last call, for each unit of a task's cost. Costs of other models and phases do not compare.
    private var last: (context: SHA256Digest, phase: RenderPhase, bytes: Double, seconds: Double)?
    /// Bytes of memory that new activations may take; nil if the system does not say.
    private let freeBytes: () -> Int?

    /// - Parameter freeBytes: reads the free memory of this host.
    init(largest: Int, freeBytes: @escaping () -> Int? = HostMemory.freeBytes) {
        (self.largest, self.freeBytes) = (max(1, largest), freeBytes)
    }

    /// Notes the cost of a call.
    ///
    /// - Parameter peakBytes: the most bytes of activations in use at once.
    mutating func learn(_ group: [RenderTask], seconds: Double, peakBytes: Int) {
        let cost = group.reduce(0) { $0 + $1.cost }
        guard cost > 0 else { return }
        last = (group[0].contextHash, group[0].phase, Double(peakBytes) / cost, seconds / cost)
    }

    /// The most tasks like this one in a group, at least 1.
    ///
    /// - Parameter idleBytes: memory that is kept for activations and counts as used.
    func limit(of task: RenderTask, idleBytes: Int) -> Int {
        guard largest > 1, let last, (last.context, last.phase) == (task.contextHash, task.phase) else { return 1 }
        let (bytes, seconds) = (max(1, last.bytes * task.cost), max(1e-6, last.seconds * task.cost))
        var limit = min(Double(largest), Self.seconds / seconds)
        if bytes * limit > Self.smallBytes, let free = freeBytes() {
            limit = min(limit, (Double(free) * Self.shareOfFreeMemory + Double(idleBytes)) / bytes)
        }
        return max(1, Int(limit))
    }
}
