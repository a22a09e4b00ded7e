internal import CSystem
internal import Cluster
internal import Messages

/// The worker's compute thread. It makes the engine, opens contexts and runs tasks, one after another.
final class ComputeThread: Sendable {
    enum Command: Sendable {
        case open(hash: String, EncodedPart)
        case close(hash: String)
        case run(LeaseID, EncodedPart, job: UniqueID)
        case stop
    }

    /// What the engine can do, for HELLO.
    struct Abilities: Sendable {
        var numericsClass: String
        var models: [String]
    }

    enum Report: Sendable {
        case ready(Abilities)
        case unusable(RuntimeError)
        case opened(hash: String, Failure?)
        case computed(LeaseID, Result<TaskResult, Failure>)
        /// The work on a lease goes on.
        case advanced(LeaseID)
    }

    let mailbox: Mailbox<Command>
    private let thread: OSThread

    /// - Parameter report: called on the thread.
    init(makeEngine: @escaping TaskEngineMaker, report: @escaping @Sendable (Report) -> Void) throws(RuntimeError) {
        let mailbox = try Mailbox<Command>()
        self.mailbox = mailbox
        thread = try OSThread(named: "pl-compute", stackBytes: 64 << 20) {
            let engine: any TaskEngine
            do throws(RuntimeError) { engine = try makeEngine() } catch {
                report(.unusable(error))
                return
            }
            report(.ready(Abilities(numericsClass: engine.numericsClass, models: engine.models)))
            var jobs = JobSequence()
            while ComputeThread.obey(mailbox.wait(), engine, &jobs, report) {}
        }
    }

    private static func obey(
        _ commands: [Command], _ engine: any TaskEngine, _ jobs: inout JobSequence,
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
            case .run(let lease, let task, let job):
                prepare(engine, jobs.next(job))
                run(lease, task, engine, report)
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
        case .begins:
            engine.settle(trimming: true)
            csystem_release_freed_memory()
        case .returns: engine.settle(trimming: false)
        }
        ProcessMemory.forgetPeak()
    }

    private static func run(
        _ lease: LeaseID, _ task: EncodedPart, _ engine: any TaskEngine, _ report: @escaping @Sendable (Report) -> Void
    ) {
        let start = monotonicNow()
        var lastReport = start
        let operationsBefore = engine.operations
        do throws(Failure) {
            let output = try engine.run(
                task,
                advanced: {
                    let now = monotonicNow()
                    guard now.since(lastReport) >= .milliseconds(200) else { return }
                    lastReport = now
                    report(.advanced(lease))
                })
            let effort = TaskResult.Effort(
                operations: Int(min(engine.operations &- operationsBefore, UInt64(WireLimits.operationsPerTask))),
                peakBytes: min(ProcessMemory.peakBytes(), WireLimits.memoryBytes),
                peakActivationBytes: min(max(0, engine.peakActivationBytes), WireLimits.memoryBytes))
            let result = TaskResult(
                computeMicroseconds: Int(monotonicNow().since(start).nanoseconds / 1000), wireMicroseconds: 0, effort: effort,
                output: output)
            report(.computed(lease, .success(result)))
        } catch {
            report(.computed(lease, .failure(error)))
        }
    }

    /// Ends the thread after its current work, and waits for that.
    func stop() {
        mailbox.post(.stop)
        thread.join()
    }
}
