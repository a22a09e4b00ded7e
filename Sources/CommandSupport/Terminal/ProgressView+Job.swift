import Places
public import Runtime

extension ProgressView {
    /// Shows one event of a job. Returns the result if there is one; throws if the job failed.
    public mutating func show(_ event: JobEvent) throws(CommandFailure) -> RenderResult? {
        switch event {
        case .queued(let position): if position > 0 { note("queued, \(position) before this one") }
        case .started(let plan): for line in plan.summaryLines { noteOnce(TerminalText.printable(line)) }
        case .progress(let progress): show(ProgressSnapshot(progress))
        case .waiting(let reason): note("waiting: \(TerminalText.printable(reason))")
        case .finished(let result): return result
        case .failed(let error): throw CommandFailure(error)
        }
        return nil
    }
}

extension ProgressSnapshot {
    init(_ progress: JobProgress) {
        self.init(
            place: progress.place.renamed(TerminalText.printable), patchesDone: progress.tasksDone,
            patchCount: progress.tasksTotal, workers: progress.workers,
            secondsLeft: progress.estimatedRemaining.map { $0 / .seconds(1) })
    }
}
