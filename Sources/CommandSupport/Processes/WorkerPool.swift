import CSystem
import Foundation
import Synchronization

/// The worker processes of one `render`, all children of this process.
///
/// A worker that is killed is replaced, a bounded number of times; one that ends because it cannot do its work is reported.
final class WorkerPool: Sendable {
    /// What the session hears about its workers.
    enum Report: Sendable {
        /// A line that a worker wrote, its number first.
        case line(worker: Int, String)
        /// A worker was lost and another took its place.
        case replaced(worker: Int, ChildProcess.Ending)
        /// No worker can go on for this reason.
        case failed(CommandFailure)
    }

    private struct State {
        /// By process id.
        var living: [Int32: ChildProcess] = [:]
        /// Processes that ended before `startOne` could note them.
        var endedEarly: Set<Int32> = []
        /// Processes being started.
        var starting = 0
        var lastLines: [Int: String] = [:]
        var losses = 0
        var isStopping = false
    }

    private let state = Mutex(State())
    private let program: WorkerProgram
    private let count: Int
    private let arguments: [String]
    private let environment: [String: String]
    private let report: @Sendable (Report) -> Void
    /// Gets an event whenever a child is gone, to wake `stop`.
    private let endings: EventQueue<Void>

    /// - Parameters:
    ///   - arguments: the command line of a worker, without the program's name; `--name` is added.
    ///   - environment: added to that of this process. Secrets go here: other users can read command lines.
    init(
        _ program: WorkerProgram, count: Int, arguments: [String], environment: [String: String],
        report: @escaping @Sendable (Report) -> Void
    ) throws(CommandFailure) {
        self.program = program
        self.count = count
        self.arguments = arguments
        self.environment = ProcessInfo.processInfo.environment.merging(environment) { _, added in added }
        self.report = report
        endings = try EventQueue()
    }

    func start() throws(CommandFailure) {
        for worker in 1...count {
            state.withLock { $0.starting += 1 }
            try startOne(worker)
        }
    }

    /// Starts a process that the caller has counted in `starting`.
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

    /// On the child's thread.
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

    /// Lost processes per worker before it is clear that the work itself kills them.
    private static let lossesPerWorkerMax = 3

    /// Why no other worker would fare better, or nil when a new one may.
    private static func failure(_ ending: ChildProcess.Ending, lastLine: String, mayReplace: Bool) -> CommandFailure? {
        let said = lastLine.isEmpty ? "it said nothing" : "it said '\(lastLine)'"
        let status = ExitStatus(rawValue: ending.code) ?? .internalFault
        let isFinal = [.usage, .badInput, .notFound, .refused, .configuration].contains(status)
        if isFinal { return CommandFailure(status, "A worker process cannot run: \(said).") }
        if mayReplace { return nil }
        return CommandFailure(.internalFault, "Worker processes end again and again (last with code \(ending.code)): \(said).")
    }

    /// From now on a worker that ends is neither replaced nor reported.
    func expectEndings() { state.withLock { $0.isStopping = true } }

    /// Asks all workers to leave, waits, and kills those that stay. When it returns no worker process exists.
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
