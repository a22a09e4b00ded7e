internal import CSystem
internal import Cluster
internal import Messages
import Synchronization

/// The worker's compute thread. It makes the engine, opens contexts and computes tasks, one call of the network after another.
final class ComputeThread: Sendable {
    enum Command: Sendable {
        case open(hash: String, EncodedPart)
        case close(hash: String)
        /// One call of the network, with the first tasks of the group.
        case run([Piece])
        case stop
    }

    /// One task of a group.
    struct Piece: Sendable {
        var lease: LeaseID
        var task: EncodedPart
        var job: UniqueID
    }

    /// The engine's abilities, for HELLO.
    struct Abilities: Sendable {
        var numericsClass: String
        var precision: String
        var models: [String]
    }

    enum Report: Sendable {
        case ready(Abilities)
        case unusable(RuntimeError)
        case opened(hash: String, Failure?)
        case computed(LeaseID, Result<TaskResult, Failure>)
        /// These tasks were not begun, or their call was stopped. The thread waits for the next command, so that a drain and a
        /// cancellation act on them.
        case returned([LeaseID])
        /// The call with these tasks failed. The thread waits, as after tasks that were not begun.
        case failedTogether([LeaseID], Failure)
        /// From now on the engine takes at most this number of tasks at once.
        case groupLimit(Int)
        /// The work on a lease, and on all leases that are computed together with it, goes on.
        case advanced(LeaseID)
    }

    /// The time that the engine keeps its memory ready while nothing comes. After a rest the next call maps the network again:
    /// 0.2 to 0.3 s with SD 1.5 on a busy machine. A worker that waits for others at the end of each step pays that too, in
    /// time that it has to spare. A wait for as long as the last call took would be too long: decoding a picture takes no
    /// longer, and needs the memory.
    static let patience = Duration.seconds(1)

    /// The results that nobody waits for. Both threads use it: a call of the network may take minutes, and asks again and
    /// again.
    private final class Unwanted: Sendable {
        private let state = Mutex((leases: Set<LeaseID>(), isAll: false))

        func insert(_ leases: [LeaseID]) { state.withLock { $0.leases.formUnion(leases) } }
        func remove(_ lease: LeaseID) { state.withLock { _ = $0.leases.remove(lease) } }
        func insertAll() { state.withLock { $0.isAll = true } }

        func contains(_ pieces: some Collection<Piece>) -> Bool {
            state.withLock { state in state.isAll || pieces.allSatisfy { state.leases.contains($0.lease) } }
        }
    }

    let mailbox: Mailbox<Command>
    private let unwanted: Unwanted
    private let thread: OSThread

    /// - Parameters:
    ///   - patience: the time to wait for a command before the engine rests.
    ///   - report: called on the thread.
    init(
        patience: Duration = ComputeThread.patience, makeEngine: @escaping TaskEngineMaker,
        report: @escaping @Sendable (Report) -> Void
    ) throws(RuntimeError) {
        let mailbox = try Mailbox<Command>()
        let unwanted = Unwanted()
        (self.mailbox, self.unwanted) = (mailbox, unwanted)
        thread = try OSThread(named: "pl-compute", stackBytes: 64 << 20) {
            let engine: any TaskEngine
            do throws(RuntimeError) { engine = try makeEngine() } catch {
                report(.unusable(error))
                return
            }
            report(
                .ready(
                    Abilities(
                        numericsClass: engine.numericsClass, precision: engine.precision, models: engine.models)))
            var jobs = JobSequence()
            while ComputeThread.obey(ComputeThread.next(mailbox, patience, engine), engine, unwanted, &jobs, report) {}
        }
    }

    /// Waits for commands. If none comes in that time, the engine rests first.
    private static func next(_ mailbox: Mailbox<Command>, _ patience: Duration, _ engine: any TaskEngine) -> [Command] {
        if let commands = mailbox.wait(atMost: patience) { return commands }
        engine.rest()
        return mailbox.wait()
    }

    private static func obey(
        _ commands: [Command], _ engine: any TaskEngine, _ unwanted: Unwanted, _ jobs: inout JobSequence,
        _ report: @escaping @Sendable (Report) -> Void
    ) -> Bool {
        for command in commands {
            switch command {
            case .open(let hash, let part):
                do throws(Failure) {
                    try engine.open(part, named: hash)
                    report(.opened(hash: hash, nil))
                } catch {
                    report(.opened(hash: hash, error))
                }
            case .close(let hash): engine.close(hash)
            case .run(let pieces):
                guard let job = pieces.first?.job else { continue }
                prepare(engine, jobs.next(job))
                let count = run(Array(pieces.prefix { $0.job == job }), engine, unwanted, report)
                if count < pieces.count { report(.returned(pieces.dropFirst(count).map(\.lease))) }
            case .stop: return false
            }
        }
        return true
    }

    /// Keeps the peak of other jobs, and of opening the model, out of this job's figures. A new job first gives back memory
    /// that is only kept for speed. Jobs that take turns do not: each would have to get its memory anew at every turn, so
    /// that memory counts for all of them.
    private static func prepare(_ engine: any TaskEngine, _ change: JobSequence.Change) {
        switch change {
        case .stays: return
        case .begins: engine.settle(trimming: true)
        case .returns: engine.settle(trimming: false)
        }
        ProcessMemory.forgetPeak()
    }

    /// Makes a call with the first tasks of one job, and returns their number. They share its time and operations evenly.
    private static func run(
        _ group: [Piece], _ engine: any TaskEngine, _ unwanted: Unwanted, _ report: @escaping @Sendable (Report) -> Void
    ) -> Int {
        let (start, operations) = (monotonicNow(), engine.operations)
        var lastReport = start
        let outcomes: [Result<EncodedPart, Failure>]
        let advanced = {
            let now = monotonicNow()
            guard now.since(lastReport) >= .milliseconds(200) else { return }
            lastReport = now
            report(.advanced(group[0].lease))
        }
        do throws(CallEnd) {
            outcomes = try engine.run(group.map(\.task), advanced: advanced) { !unwanted.contains(group.prefix($0)) }
        } catch {
            switch error {
            case .failedTogether(let count, let failure):
                report(.failedTogether(group.prefix(count).map(\.lease), failure))
                return count
            case .stopped(let count):
                report(.returned(group.prefix(count).map(\.lease)))
                return count
            }
        }
        let share = max(1, outcomes.count)
        let effort = TaskResult.Effort(
            operations: Int(
                min((engine.operations &- operations) / UInt64(share), UInt64(WireLimits.operationsPerTask))),
            peakBytes: min(ProcessMemory.peakBytes(), WireLimits.memoryBytes),
            peakActivationBytes: min(max(0, engine.peakActivationBytes), WireLimits.memoryBytes))
        let microseconds = Int(monotonicNow().since(start).nanoseconds / 1000) / share
        report(.groupLimit(engine.groupLimit))
        for (piece, outcome) in zip(group, outcomes) {
            let result = outcome.map { output in
                TaskResult(computeMicroseconds: microseconds, wireMicroseconds: 0, effort: effort, output: output)
            }
            report(.computed(piece.lease, result))
        }
        return outcomes.count
    }

    /// Stops the call of the network under way as soon as nobody waits for any of its tasks.
    func abandon(_ leases: [LeaseID]) { unwanted.insert(leases) }

    /// To be called for each abandoned lease once it is settled.
    func forget(_ lease: LeaseID) { unwanted.remove(lease) }

    /// Stops the call under way, ends the thread, and waits for that.
    func stop() {
        unwanted.insertAll()
        mailbox.post(.stop)
        thread.join()
    }
}
