internal import Cluster
public import Rendering
public import TensorCore
public import Weights

/// The memory that a render will take on this host, from going through a call of each kind without computing it.
public struct MemoryForecast: Sendable {
    /// The most bytes of a worker in each phase of the forecast, in its order: program, weights, activations and tiles. Weights
    /// that workers share in a file count for each of them.
    public let workerBytes: [Int]
    /// The most bytes of a worker.
    public var worker: Int { workerBytes.max() ?? 0 }
    /// The least memory that a worker needs: with one task in a call, and no tiles in memory between two sections.
    public let leastWorker: Int

    /// The workers of a host.
    public struct Host: Sendable {
        public var workers: Int
        /// The threads of each worker.
        public var threads: Int
        /// The most tasks that a worker computes at once.
        public var group: Int
        public var backend: BackendChoice
        public var precision: PrecisionChoice
        /// Whether they map large networks from files of packed weights.
        public var mapsFiles: Bool
        /// Free bytes for activations; nil if the system does not say.
        public var freeBytes: Int?

        public init(
            workers: Int, threads: Int, group: Int, backend: BackendChoice, precision: PrecisionChoice, mapsFiles: Bool,
            freeBytes: Int? = HostMemory.freeBytes()
        ) {
            (self.workers, self.threads, self.group) = (workers, threads, group)
            (self.backend, self.precision) = (backend, precision)
            (self.mapsFiles, self.freeBytes) = (mapsFiles, freeBytes)
        }

        fileprivate func rehearsal(_ source: ModelSource, _ loras: LoRALibrary) throws(RenderError) -> WorkerRehearsal {
            try WorkerRehearsal(
                source, loras: loras, backend: backend, threads: threads, precision: precision, mapsFiles: mapsFiles)
        }
    }

    /// Bytes of a worker process without networks: its own bytes, and its part of the libraries' pages, which it shares with
    /// the coordinator and the other workers of the host. `MemoryTests` measures this number and the next one.
    static func programBytes(workers: Int) -> Int { (4 << 20) + (66 << 20) / (workers + 1) }
    /// About the bytes of an operation of oneDNN: most of them are code that it makes for a shape.
    static let operationBytes = 190 << 10
    /// Multiplications and additions a second of one thread. Nobody knows the real number before the first call. This one only
    /// tells how many tasks a call may have before it takes `GroupLimits.seconds`.
    static let assumedSpeed = 75e9

    /// Forecasts the memory; nil where addresses or promised memory are limited, because a rehearsal is not possible there.
    ///
    /// - Throws: the error of a worker for a model that it cannot use.
    public init?(
        _ forecast: RenderForecast, _ source: ModelSource, loras: LoRALibrary = .empty, _ host: Host
    ) throws(RuntimeError) {
        guard ComputeContext.canRehearse else { return nil }
        do throws(RenderError) {
            let rehearsal = try host.rehearsal(source, loras)
            let share = host.freeBytes.map { Double($0) * GroupLimits.shareOfFreeMemory / Double(max(1, host.workers)) }
            let room = share.map { Int(min($0, 1e15)) } ?? 1 << 50
            var (alone, together): ([RenderPhase: [Int]], [Int]) = ([:], [])
            // First each task alone, so that the least has no traces of groups.
            for phase in forecast.phases {
                for tasks in phase.tasks {
                    alone[phase.phase, default: []].append(
                        try rehearsal.need(of: tasks.footprint, count: 1, keptBytes: 0).total)
                }
            }
            let program = Self.programBytes(workers: host.workers)
            leastWorker =
                program + rehearsal.operations * Self.operationBytes + (alone.values.compactMap { $0.max() }.max() ?? 0)
            for phase in forecast.phases {
                var bytes = 0
                for (tasks, least) in zip(phase.tasks, alone[phase.phase] ?? []) {
                    let count = Self.count(tasks, host, room: room, alone: least)
                    bytes = max(bytes, try rehearsal.need(of: tasks.footprint, count: count, keptBytes: room).total)
                }
                together.append(bytes)
            }
            // The library keeps its operations: in the last phase it has the operations of all phases.
            let kept = program + rehearsal.operations * Self.operationBytes
            workerBytes = together.map { $0 + kept }
        } catch {
            throw RuntimeError(error)
        }
    }

    /// The tasks of a worker's call, or its tiles.
    private static func count(_ tasks: RenderForecast.Tasks, _ host: Host, room: Int, alone: Int) -> Int {
        if let tiles = tasks.footprint.tileCount { return (tiles + host.workers - 1) / host.workers }
        guard let sample = tasks.sample, sample.isGrouped else { return 1 }
        let own = (sample.tasksInStep + host.workers - 1) / host.workers
        let seconds = sample.operations / (assumedSpeed * Double(host.threads))
        return max(1, min(host.group, own, Int(GroupLimits.seconds / max(seconds, 1e-6)), room / max(1, alone)))
    }
}
