import CSystem
import Foundation
import Synchronization

/// The worker processes of one `render`, all children of this process.
///
/// Replaces a killed worker, a limited number of times. Reports a worker that ends because it cannot work.
final class WorkerPool: Sendable {
    /// Events about the workers.
    enum Report: Sendable {
        /// A worker's line, after its number.
        case line(worker: Int, String)
        /// A worker was lost and another took its place.
        case replaced(worker: Int, ChildProcess.Ending)
        /// No worker can go on, for this reason.
        case failed(CommandFailure)
    }

    private struct State {
        /// The living children by process id.
        var living: [Int32: ChildProcess] = [:]
        /// Processes that ended before `startOne` noted them.
        var endedEarly: Set<Int32> = []
        /// Processes being started.
        var starting = 0
        var lastLines: [Int: String] = [:]
        var losses = 0
        var isStopping = false
    }

    private let state = Mutex(State())
    private let program: String
    private let count: Int
    private let arguments: [String]
    private let environment: [String: String]
    private let report: @Sendable (Report) -> Void
    /// Gets an event when a child is gone, to wake `stop`.
    private let endings: EventQueue<Void>

    /// - Parameters:
    ///   - program: the path of `patchloom`.
    ///   - arguments: a worker's command line without the program's name; `--name` is added.
    ///   - environment: added to this process's. Secrets go here, because other users can read command lines.
    init(
        _ program: String, count: Int, arguments: [String], environment: [String: String],
        report: @escaping @Sendable (Report) -> Void
    ) throws(CommandFailure) {
        (self.program, self.count, self.arguments, self.report) = (program, count, arguments, report)
        self.environment = ProcessInfo.processInfo.environment.merging(environment) { _, added in added }
        endings = try EventQueue()
    }

    func start() throws(CommandFailure) {
        for worker in 1...count {
            state.withLock { $0.starting += 1 }
            try startOne(worker)
        }
    }

    /// Starts a process. The caller has counted it in `starting`.
    private func startOne(_ worker: Int) throws(CommandFailure) {
        defer {
            state.withLock { $0.starting -= 1 }
            endings.post(())
        }
        let child = try ChildProcess(
            program, arguments: arguments + ["--name", "local-\(worker)"], environment: environment,
            onLine: { [self] line in
                state.withLock { $0.lastLines[worker] = line }
                report(.line(worker: worker, line))
            },
            onEnd: { [self] ending in ended(worker, ending) })
        let isStopping = state.withLock { state in
            if state.endedEarly.remove(child.pid) == nil { state.living[child.pid] = child }
            return state.isStopping
        }
        if isStopping { child.send(SIGTERM) }
    }

    /// Runs on the child's thread.
    private func ended(_ worker: Int, _ ending: ChildProcess.Ending) {
        let (isStopping, failure) = state.withLock { state in
            if state.living.removeValue(forKey: ending.pid) == nil { state.endedEarly.insert(ending.pid) }
            state.losses += 1
            let failure = Self.failure(
                ending, lastLine: state.lastLines[worker] ?? "", mayReplace: state.losses <= count * Self.lossesPerWorkerMax)
            if !state.isStopping && failure == nil { state.starting += 1 }
            return (state.isStopping, failure)
        }
        endings.post(())
        guard !isStopping else { return }
        if let failure { return report(.failed(failure)) }
        report(.replaced(worker: worker, ending))
        do { try startOne(worker) } catch { report(.failed(error)) }
    }

    /// The most lost processes for each worker. If there are more, the work itself must kill them.
    private static let lossesPerWorkerMax = 3

    /// The reason why another worker would fail too; nil if a new one may succeed.
    private static func failure(_ ending: ChildProcess.Ending, lastLine: String, mayReplace: Bool) -> CommandFailure? {
        let said = lastLine.isEmpty ? "it said nothing" : "it said '\(lastLine)'"
        let status = ExitStatus(rawValue: ending.code) ?? .internalFault
        let isFinal = [.usage, .badInput, .notFound, .refused, .configuration].contains(status)
        if isFinal { return CommandFailure(status, "A worker process cannot run: \(said).") }
        if mayReplace { return nil }
        return CommandFailure(.internalFault, "Worker processes end again and again (last with code \(ending.code)): \(said).")
    }

    /// Stops replacing and reporting workers.
    func expectEndings() { state.withLock { $0.isStopping = true } }

    /// Asks all workers to leave, waits, and kills the rest. When it returns no worker process exists.
    func stop(graceMilliseconds: Int) {
        expectEndings()
        for child in state.withLock({ Array($0.living.values) }) { child.send(SIGTERM) }
        let deadline = ContinuousClock.now + .milliseconds(graceMilliseconds)
        var wasKilled = false
        while state.withLock({ !$0.living.isEmpty || $0.starting > 0 }) {
            let left = ContinuousClock.now.duration(to: deadline) / .milliseconds(1)
            let timeout = wasKilled ? 100 : Int32(max(0, left.rounded(.up)))
            if endings.next(withinMilliseconds: timeout) == nil {
                for child in state.withLock({ Array($0.living.values) }) { child.send(SIGKILL) }
                wasKilled = true
            }
        }
    }
}
