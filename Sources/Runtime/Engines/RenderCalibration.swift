internal import Cluster
public import Rendering
internal import Synchronization
public import TensorCore
public import Weights

/// The time that a render will take on this host, from a call of each kind.
public struct RenderCalibration: Sendable {
    /// An expected duration in seconds, and the range that it should be in.
    public struct Estimate: Sendable {
        public let expected: Double
        public let least: Double
        public let most: Double

        /// - Parameter calls: the durations by the fastest and the slowest call. Merging, messages and waiting come on top:
        ///   six renders of the embedded model took 0.94 to 1.31 times the time that their calls predicted.
        fileprivate init(_ expected: Double, calls: ClosedRange<Double>) {
            (self.expected, least, most) = (expected, 0.9 * calls.lowerBound, 1.35 * calls.upperBound)
        }

        /// - Parameter renders: the durations by the fastest and the slowest of the renders before.
        init(_ expected: Double, renders: ClosedRange<Double>) {
            (self.expected, least, most) = (expected, 0.8 * renders.lowerBound, 1.25 * renders.upperBound)
        }
    }

    private let makeRunner: @Sendable () throws(RenderError) -> TaskRunner
    private let workers: Int
    private let group: Int

    /// - Parameters:
    ///   - workers: of the render. They are threads of this process here.
    ///   - threads: of each worker.
    ///   - group: the most tasks that a worker computes at once.
    ///   - packed: the folder of packed weights; nil keeps them in memory, once for each worker.
    ///   - log: gets remarks about packed weights.
    public init(
        _ source: ModelSource, loras: LoRALibrary = .empty, workers: Int, threads: Int, group: Int, backend: BackendChoice,
        precision: PrecisionChoice, packed: PackedWeights.Setting? = nil, log: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        (self.workers, self.group) = (workers, group)
        makeRunner = { () throws(RenderError) in
            try TaskRunner(
                models: [source], loras: loras, backend: backend, threads: threads, precision: precision,
                packed: packed.map { PackedWeights($0, threads: threads) { log($0) } })
        }
    }

    /// Times the calls of a forecast. Steps wait for each other. A step takes as long as the worker with the most of its tasks.
    ///
    /// - Throws: the error of a worker for a model that it cannot use.
    public func estimate(_ forecast: RenderForecast) throws(RuntimeError) -> Estimate {
        let kinds = forecast.phases.flatMap(\.tasks).filter { $0.sample != nil }
        let seconds = try time(kinds.compactMap(\.sample))
        var (expected, least, most, timed) = (0.0, 0.0, 0.0, 0.0)
        for (kind, times) in zip(kinds, seconds) {
            guard let sample = kind.sample else { continue }
            let share =
                Double(longest(sample)) / Double(sample.tasksInStep) * kind.operations / sample.operations
            expected += share * times[times.count / 2]
            (least, most) = (least + share * times[0], most + share * times[times.count - 1])
            timed += kind.operations
        }
        // The text and the encoder are few tasks. Their operations are taken to be as fast as those of the timed tasks.
        let all = timed > 0 ? forecast.operations / timed : 1
        return Estimate(expected * all, calls: least * all...most * all)
    }

    /// The workers that a step keeps busy.
    private func busy(_ sample: RenderForecast.Sample) -> Int { min(workers, sample.tasksInStep) }

    /// The most tasks of a step that one worker gets.
    private func longest(_ sample: RenderForecast.Sample) -> Int {
        (sample.tasksInStep + busy(sample) - 1) / busy(sample)
    }

    /// The seconds of one task of each sample, in order, while as many workers compute as in the render.
    private func time(_ samples: [RenderForecast.Sample]) throws(RuntimeError) -> [[Double]] {
        let runners = try together(workers) { _ throws(RenderError) in Runner(value: try makeRunner()) }
        var times: [[Double]] = []
        for sample in samples {
            let own = try together(busy(sample)) { worker throws(RenderError) in
                try seconds(runners[worker].value, sample)
            }
            times.append(own.flatMap(\.self).sorted())
        }
        return times
    }

    /// A runner. One thread at a time uses it.
    private struct Runner: @unchecked Sendable {
        let value: TaskRunner
    }

    /// Runs `body` for each worker on a thread of its own, all at the same time, and waits for all.
    private func together<Value: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (Int) throws(RenderError) -> Value
    ) throws(RuntimeError) -> [Value] {
        let results = Mutex<[Int: Result<Value, RenderError>]>([:])
        var threads: [OSThread] = []
        defer { for thread in threads { thread.join() } }
        for worker in 0..<count {
            threads.append(
                try OSThread(named: "calibrate-\(worker)") {
                    let result = Result { () throws(RenderError) in try body(worker) }
                    results.withLock { $0[worker] = result }
                })
        }
        for thread in threads { thread.join() }
        do throws(RenderError) {
            var values: [Value] = []
            for result in results.withLock({ $0.sorted { $0.key < $1.key } }) { values.append(try result.value.get()) }
            return values
        } catch {
            throw RuntimeError(error)
        }
    }

    /// The first call is for weights and the library's preparations. The fifth only keeps the host busy for the other workers.
    /// Neither counts. Of long calls one is enough.
    private func seconds(_ runner: TaskRunner, _ sample: RenderForecast.Sample) throws(RenderError) -> [Double] {
        let count = sample.isGrouped ? min(group, longest(sample)) : 1
        let tasks = [RenderTask](repeating: sample.task, count: max(1, count))
        try runner.open(sample.context)
        defer { runner.close(sample.context.hash) }
        var calls: [Double] = []
        let first = monotonicNow()
        while calls.count < 5, calls.count < 2 || monotonicNow().since(first) < .seconds(60) {
            let start = monotonicNow()
            _ = try runner.run(together: tasks)
            calls.append(Double(monotonicNow().since(start).nanoseconds) * 1e-9 / Double(tasks.count))
        }
        return Array(calls.dropFirst().prefix(3))
    }
}
