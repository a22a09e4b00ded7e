internal import CSystem
internal import Cluster
internal import ImageFiles
internal import Messages
internal import Rendering
internal import StrictJSON
internal import Synchronization

/// The threads that plan, merge and write pictures. The I/O thread does none of it. The commands of one job run one after
/// another. If there are no more jobs than threads, jobs do not wait for each other. More jobs take turns, command by command.
final class JobThreads: Sendable {
    enum Command: Sendable {
        /// Make an engine for a request from the wire. It is refused if none of the workers has enough memory for it.
        case create(request: EncodedPart, model: String?, workers: [WorkerProfile])
        /// Begin with an engine that exists.
        case begin(any JobEngine)
        /// Take one output of a barrier that takes each.
        case take(serial: Int, index: Int, EncodedPart)
        /// Merge a barrier's outputs. Workers of one numerics class computed them.
        case complete(serial: Int, [EncodedPart], numericsClass: String)
    }

    /// Reports to the I/O thread.
    enum Report: Sendable {
        case planned(JobID, JobOutline, WorkerNeeds)
        case barrier(JobID, serial: Int, EngineBarrier, cpu: Int64)
        case rejected(JobID, serial: Int, index: Int, Failure, cpu: Int64)
        /// An output was taken.
        case took(JobID, cpu: Int64)
        /// The result has only the timing of its file; the I/O thread adds the other timings and the counts.
        case finished(JobID, RenderResult, cpu: Int64)
        case failed(JobID, RuntimeError)
    }

    /// A started engine, and the number of its barrier.
    private struct Running: Sendable {
        var engine: any JobEngine
        var serial: Int
        /// Outputs that were refused and did not come again yet. Until then the barrier is not complete.
        var refused: Set<Int> = []
    }

    private struct Job: Sendable {
        var commands: [Command] = []
        /// The started engine; nil before it starts, and while a thread uses it.
        var running: Running?
        /// Whether the job waits for a thread or a thread works on it.
        var isScheduled = false
    }

    private struct State {
        var jobs: [JobID: Job] = [:]
        /// Jobs that wait for a thread.
        var ready: [JobID] = []
        /// Places of the threads that wait for a job.
        var idle: [Int] = []
        var isStopping = false
    }

    /// The number of threads: one for each processor, from two to four.
    static let count = min(4, max(2, HostProcessors.processors))

    private let factory: any JobEngineFactory
    private let report: @Sendable (Report) -> Void
    private let state = Mutex(State())
    /// Each thread waits for its own bell.
    private let bells: [Mailbox<Void>]
    private let threads = Mutex<[OSThread]>([])

    /// - Parameter report: called on these threads, in order for each job.
    init(factory: any JobEngineFactory, report: @escaping @Sendable (Report) -> Void) throws(RuntimeError) {
        (self.factory, self.report) = (factory, report)
        var bells: [Mailbox<Void>] = []
        for _ in 0..<Self.count { bells.append(try Mailbox()) }
        self.bells = bells
        for place in bells.indices {
            do throws(RuntimeError) {
                let thread = try OSThread(named: "pl-jobs") { [self] in work(at: place) }
                threads.withLock { $0.append(thread) }
            } catch {
                stop()
                throw error
            }
        }
    }

    /// Queues a command of a job.
    func post(_ command: Command, of id: JobID) {
        let waiting = state.withLock { state -> Int? in
            state.jobs[id, default: Job()].commands.append(command)
            guard state.jobs[id]?.isScheduled == false else { return nil }
            state.jobs[id]?.isScheduled = true
            state.ready.append(id)
            return state.idle.popLast()
        }
        if let waiting { bells[waiting].post(()) }
    }

    /// Forgets a job and its waiting commands, so that the commands of ended jobs do not pile up here. A thread finishes the
    /// command that it has begun.
    func drop(_ id: JobID) {
        let gone = state.withLock { state in
            state.ready.removeAll { $0 == id }
            return state.jobs.removeValue(forKey: id)
        }
        // The engine is freed here, outside the lock.
        _ = gone
    }

    /// Ends the threads after their current commands, and waits for them.
    func stop() {
        state.withLock { state in
            state.isStopping = true
            state.ready = []
        }
        for bell in bells { bell.post(()) }
        for thread in threads.withLock({ $0 }) { thread.join() }
        state.withLock { $0.jobs = [:] }
    }

    // MARK: On the threads

    private func work(at place: Int) {
        while true {
            if var turn = takeTurn(at: place) {
                perform(turn.command, of: turn.id, &turn.running)
                giveBack(turn.running, of: turn.id)
            } else if state.withLock(\.isStopping) {
                return
            } else {
                _ = bells[place].wait()
            }
        }
    }

    /// The next job's next command; nil if there is none. The thread then waits for its bell.
    private func takeTurn(at place: Int) -> (id: JobID, command: Command, running: Running?)? {
        state.withLock { state in
            // Each job in the list exists and has a command: `drop` removes it from both lists.
            guard let id = state.ready.first, state.jobs[id] != nil else {
                // The thread that removes a place from the list rings its bell.
                state.idle.append(place)
                return nil
            }
            state.ready.removeFirst()
            guard let command = state.jobs[id]?.commands.removeFirst() else { return nil }
            return (id, command, state.jobs[id]?.running.take())
        }
    }

    private func giveBack(_ running: Running?, of id: JobID) {
        state.withLock { state in
            guard state.jobs[id] != nil else { return }
            state.jobs[id]?.running = running
            if state.jobs[id]?.commands.isEmpty == false, !state.isStopping {
                state.ready.append(id)
            } else {
                state.jobs[id]?.isScheduled = false
            }
        }
    }

    /// - Parameter running: changes in place, because engines may hold much memory; nil when the job is over.
    private func perform(_ command: Command, of id: JobID, _ running: inout Running?) {
        switch command {
        case .create(let request, let model, let workers):
            do throws(RuntimeError) {
                let engine = try factory.makeEngine(request: request, model: model)
                running = begin(id, engine, try engine.needs(of: workers))
            } catch {
                report(.failed(id, error))
                running = nil
            }
        case .begin(let engine): running = begin(id, engine, engine.needs)
        case .complete(let serial, let outputs, let numericsClass):
            guard running?.serial == serial, running?.refused.isEmpty == true else { return }
            complete(id, &running, outputs, numericsClass)
        case .take(let serial, let index, let output):
            take(id, &running, serial, index, output)
        }
    }

    private func take(_ id: JobID, _ running: inout Running?, _ serial: Int, _ index: Int, _ output: EncodedPart) {
        guard running?.serial == serial else { return }
        let watch = ThreadStopwatch()
        do throws(EngineError) {
            try running?.engine.take(output, of: index)
            running?.refused.remove(index)
            report(.took(id, cpu: watch.elapsed))
        } catch {
            running?.refused.insert(index)
            settle(id, &running, serial, error, watch)
        }
    }

    /// A refused output leaves the job running; any other error ends it.
    private func settle(
        _ id: JobID, _ running: inout Running?, _ serial: Int, _ error: EngineError, _ watch: ThreadStopwatch
    ) {
        guard case .rejected(let index, let failure) = error else {
            fail(id, error)
            running = nil
            return
        }
        report(.rejected(id, serial: serial, index: index, failure, cpu: watch.elapsed))
    }

    private func begin(_ id: JobID, _ engine: any JobEngine, _ needs: WorkerNeeds) -> Running? {
        report(.planned(id, engine.plan, needs))
        var engine = engine
        let watch = ThreadStopwatch()
        do throws(EngineError) {
            let barrier = try engine.start()
            report(.barrier(id, serial: 0, barrier, cpu: watch.elapsed))
            return Running(engine: engine, serial: 0)
        } catch {
            fail(id, error)
            return nil
        }
    }

    private func complete(_ id: JobID, _ running: inout Running?, _ outputs: [EncodedPart], _ numericsClass: String) {
        let watch = ThreadStopwatch()
        let serial = running?.serial ?? 0
        do throws(EngineError) {
            switch try running?.engine.complete(outputs) {
            case .barrier(let barrier):
                running?.serial = serial + 1
                running?.refused = []
                report(.barrier(id, serial: serial + 1, barrier, cpu: watch.elapsed))
            case .finished(let picture):
                running = nil
                finish(id, picture, numericsClass, merge: watch.elapsed)
            case nil: return
            }
        } catch {
            settle(id, &running, serial, error, watch)
        }
    }

    /// Writes the file, with the parameters and the numerics class.
    private func finish(_ id: JobID, _ picture: RenderedImage, _ numericsClass: String, merge: Int64) {
        let watch = ThreadStopwatch()
        var details = picture.details.objectValue ?? JSONObject()
        details["numerics_class"] = .string(numericsClass)
        let texts = [
            PNGText(keyword: "parameters", value: picture.parameters),
            PNGText(keyword: "patchloom", value: JSONValue.object(details).canonicalText),
        ]
        do throws(RuntimeError) {
            var result = RenderResult(
                file: try PictureFile(png: picture.pixels, texts), width: picture.pixels.width,
                height: picture.pixels.height, parameters: picture.parameters)
            result.timings.png = .nanoseconds(watch.elapsed)
            report(.finished(id, result, cpu: merge))
        } catch {
            report(.failed(id, error))
        }
    }

    private func fail(_ id: JobID, _ error: EngineError) {
        switch error {
        case .failed(let error): report(.failed(id, error))
        case .rejected(_, let failure): report(.failed(id, RuntimeError(.jobFailed, failure.sentence)))
        }
    }
}
