/// The abilities that a job needs in its workers.
public struct WorkerNeeds: Sendable, Equatable {
    public var model: String
    /// nil if any precision will do.
    public var precision: String?
    /// The least bytes of memory of a worker, for each precision. The need in an absent precision is not known; a worker that
    /// computes in it counts as large enough.
    public var memory: [String: Int]

    public init(model: String, precision: String? = nil, memory: [String: Int] = [:]) {
        (self.model, self.precision, self.memory) = (model, precision, memory)
    }

    /// Whether a worker can compute the job's tasks.
    public func areMet(by worker: WorkerProfile) -> Bool { areMetButForMemory(by: worker) && shortage(of: worker) == nil }

    /// Whether a worker has the job's model and precision.
    public func areMetButForMemory(by worker: WorkerProfile) -> Bool {
        worker.models.contains(model) && (precision.map(worker.precisions.contains) ?? true)
    }

    /// The bytes that a worker would need, if it has fewer; nil if it has enough, or if it is unknown.
    public func shortage(of worker: WorkerProfile) -> Int? {
        guard !memory.isEmpty, worker.memoryBytes > 0 else { return nil }
        let needs = (precision.map { [$0] } ?? worker.precisions).map { memory[$0] ?? 0 }
        return needs.min().flatMap { $0 > worker.memoryBytes ? $0 : nil }
    }
}
