internal import Cluster
internal import Messages
import Sentences
internal import StrictJSON
internal import Weights
internal import ZMQSockets

/// The worker's I/O thread. It owns the DEALER socket and the worker's state machine, and gives signs of life however long a
/// task takes.
final class WorkerLoop {
    /// The way in which a worker ended.
    enum Ending: Equatable {
        /// It ended in order.
        case drained
        /// It ended with this error.
        case failed(RuntimeError)
        /// The process at the other end of the lifeline is gone.
        case orphaned
    }

    let options: WorkerOptions
    let context: Context
    var socket: Socket
    let compute: ComputeThread
    let mailbox: Mailbox<WorkerCommand>
    let wireClock: WireClock
    let instance = UniqueID.random()
    let workerID = UniqueID.random()
    var machine: WorkerMachine
    var abilities: ComputeThread.Abilities?
    var epoch: UInt64 = 0
    var session: UInt64 = 0
    var sequence: UInt64 = 0
    /// Content hashes as the machine's numbers, and back.
    var contextIDs: [String: ContextID] = [:]
    var contextHashes: [ContextID: String] = [:]
    var contextParts: [ContextID: EncodedPart] = [:]
    var contextErrors: [ContextID: Failure] = [:]
    var nextContext: UInt64 = 1
    var tasks: [LeaseID: (part: EncodedPart, job: UniqueID)] = [:]
    var outcomes: [LeaseID: Message] = [:]
    /// Messages that wait for the connection, also the newest HELLO.
    var waiting: [(type: MessageType, frames: [[UInt8]])] = []
    var refusal: RuntimeError?
    var ending: Ending?

    init(
        _ options: WorkerOptions, _ mailbox: Mailbox<WorkerCommand>, makeEngine: @escaping TaskEngineMaker
    ) throws(RuntimeError) {
        try PeerTexts.check(joinToken: options.joinToken)
        try PeerTexts.check(name: options.name)
        self.options = options
        self.mailbox = mailbox
        machine = WorkerMachine(parameters: options.parameters, now: monotonicNow())
        context = try Context.make()
        do throws(RuntimeError) { socket = try context.openSocket(.dealer, options.endpoint) } catch {
            context.terminate()
            throw error
        }
        wireClock = WireClock()
        compute = try ComputeThread(makeEngine: makeEngine) { report in mailbox.post(.compute(report)) }
    }

    /// The state of a worker after its loop has ended.
    struct Life {
        let ending: Ending
        let compute: ComputeThread
        /// Whether the compute thread is busy, and may take seconds to stop.
        let isComputing: Bool
    }

    /// Runs a worker on the calling thread.
    static func main(
        _ options: WorkerOptions, _ mailbox: Mailbox<WorkerCommand>, makeEngine: @escaping TaskEngineMaker
    ) throws(RuntimeError) -> Life {
        // The loop and its socket are gone when `live` returns. Only then may the context go.
        let (life, context) = try live(options, mailbox, makeEngine)
        if life.ending != .orphaned { context.terminate() }
        return life
    }

    private static func live(
        _ options: WorkerOptions, _ mailbox: Mailbox<WorkerCommand>, _ makeEngine: @escaping TaskEngineMaker
    ) throws(RuntimeError) -> (Life, Context) {
        let loop = try WorkerLoop(options, mailbox, makeEngine: makeEngine)
        let ending = loop.run()
        let isComputing = loop.abilities == nil || loop.machine.isBusy
        return (Life(ending: ending, compute: loop.compute, isComputing: isComputing), loop.context)
    }

    /// Works until its end. If the lifeline hangs up, it ends at once, also in the middle of a task.
    private func run() -> Ending {
        let descriptors = [mailbox.descriptor] + (options.lifelineFD.map { [$0] } ?? [])
        var poller = Poller(descriptors: descriptors)
        while ending == nil {
            do throws(ZMQError) {
                let readiness = try poller.wait(for: socket, toSend: !waiting.isEmpty, milliseconds: pollMilliseconds())
                if descriptors.count > 1, readiness.descriptors[1] { return .orphaned }
                if readiness.descriptors[0] { for command in mailbox.drain() { handle(command) } }
                if readiness.canReceive { try receiveAll() }
                try flush()
                let now = monotonicNow()
                if abilities != nil, let due = machine.nextDeadline(), due <= now { drive(.tick, now) }
            } catch {
                ending = .failed(RuntimeError(error))
            }
        }
        return farewell()
    }

    private func farewell() -> Ending {
        do throws(ZMQError) {
            try flush()
            try socket.setLinger(milliseconds: 2000)
        } catch {
            log(error.message)
        }
        return ending ?? .drained
    }

    private func pollMilliseconds() -> Int {
        guard abilities != nil, let due = machine.nextDeadline() else { return 500 }
        let wait = due.since(monotonicNow()).nanoseconds
        return wait <= 0 ? 0 : min(500, Int((wait + 999_999) / 1_000_000))
    }

    private func receiveAll() throws(ZMQError) {
        for _ in 0..<64 {
            guard let received = try socket.receive(keeping: WireLimits.frameCount + 1) else { return }
            do throws(MessageError) {
                receive(try Packet(frames: received.frames, frameCount: received.frameCount), monotonicNow())
            } catch {
                if error.code != .ignorable { log("a message of the coordinator could not be read: \(error.message)") }
            }
        }
    }

    private func handle(_ command: WorkerCommand) {
        let now = monotonicNow()
        switch command {
        case .terminate: if abilities == nil { ending = .drained } else { drive(.terminate, now) }
        case .compute(.ready(let abilities)):
            self.abilities = abilities
            log("ready: \(abilities.numericsClass)")
            for line in options.digests?.tally.lines ?? [] { log(line) }
            drive(.tick, now)
        case .compute(.unusable(let error)): ending = .failed(error)
        case .compute(.opened(let hash, let error)):
            guard let context = contextIDs[hash] else { return }
            contextErrors[context] = error
            drive(.contextOpened(context, ok: error == nil), now)
        case .compute(.groupLimit(let limit)): drive(.groupLimit(limit), now)
        case .compute(.returned(let leases)): drive(.returned(leases), now)
        case .compute(.failedTogether(let leases, let failure)):
            log("\(leases.count) tasks failed together, and each is tried alone: \(failure.sentence.logged)")
            drive(.failedTogether(leases), now)
        case .compute(.computed(let lease, let outcome)):
            switch outcome {
            case .success(let result): outcomes[lease] = .result(result)
            case .failure(let failure):
                log("a task failed: \(failure.sentence.logged)")
                outcomes[lease] = .fail(failure)
            }
            drive(.computed(lease), now)
        case .compute(.advanced(let lease)): drive(.progressed(lease), now)
        }
    }

    // MARK: The machine

    func drive(_ event: WorkerEvent, _ now: Instant) {
        for action in machine.handle(event, now: now) {
            switch action {
            case .reconnect: reconnect()
            case .sendHello(let held, let unacked): sendHello(held, unacked)
            case .sendPing: send(.ping)
            case .sendPong: send(.pong)
            case .sendReady(let context): sendNote(context, Message.jobReady)
            case .sendNeed(let context): sendNote(context, Message.needJob)
            case .sendContextFailed(let context): sendContextFailure(context)
            case .sendCredit: send(.credit(Credit(leases: credit, bytes: WireLimits.payloadBytes)))
            case .sendAccept(let leases): send(.accept(LeaseList(leases.map(\.rawValue))))
            case .sendProgress(let lease): send(.progress(Progress(done: 1, total: 0)), lease: lease)
            case .sendOutcome(let lease): sendOutcome(lease)
            case .sendCancelled(let leases): send(.cancelled(LeaseList(leases.map(\.rawValue))))
            case .sendDrain: send(.drain(Drain(deadlineMilliseconds: options.parameters.drainGrace.milliseconds)))
            case .sendBye: send(.bye(Bye(.drained)))
            case .open(let context):
                if let hash = contextHashes[context], let part = contextParts.removeValue(forKey: context) {
                    open(context, hash, part, now)
                }
            case .close(let context):
                if let hash = contextHashes[context] { compute.mailbox.post(.close(hash: hash)) }
            case .compute(let group):
                let pieces = group.compactMap { lease in
                    tasks[lease].map { ComputeThread.Piece(lease: lease, task: $0.part, job: $0.job) }
                }
                compute.mailbox.post(.run(pieces))
            case .abandon(let leases): compute.abandon(leases)
            case .forget(let lease):
                compute.forget(lease)
                tasks[lease] = nil
                outcomes[lease] = nil
            case .end(let end): finish(end)
            }
        }
        for context in contextHashes.keys where !machine.knows(context) { forget(context) }
    }

    private func open(_ context: ContextID, _ hash: String, _ part: EncodedPart, _ now: Instant) {
        guard !compute.mailbox.offer(.open(hash: hash, part)) else { return }
        contextErrors[context] = Failure(.worker, "too many jobs wait to be opened")
        drive(.contextOpened(context, ok: false), now)
    }

    private func forget(_ context: ContextID) {
        if let hash = contextHashes.removeValue(forKey: context) { contextIDs[hash] = nil }
        contextParts[context] = nil
        contextErrors[context] = nil
    }

    private func finish(_ end: WorkerEnd) {
        switch end {
        case .drained: ending = .drained
        case .refused: ending = .failed(refusal ?? RuntimeError(.refused, "The coordinator refused this worker."))
        case .dismissed: ending = refusal.map { .failed($0) } ?? .drained
        }
    }

    /// A fresh socket: the old connection does not answer.
    private func reconnect() {
        log("the coordinator does not answer; connecting anew")
        waiting = []
        do throws(RuntimeError) { socket = try context.openSocket(.dealer, options.endpoint) } catch {
            ending = .failed(error)
        }
    }

    func log(_ line: String) { options.log?(line) }
}

/// Commands of other threads to the worker's I/O thread.
enum WorkerCommand: Sendable {
    /// Finish and end.
    case terminate
    case compute(ComputeThread.Report)
}
