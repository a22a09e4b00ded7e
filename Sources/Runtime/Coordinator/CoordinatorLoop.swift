internal import Cluster
internal import Foundation
internal import Messages
import Sentences
internal import ZMQSockets

/// The coordinator's I/O thread. It owns the ROUTER socket and the cluster's state machine. It plans and merges nothing; it
/// cuts and encodes the tasks that it sends, and reads the pieces of finished pictures.
final class CoordinatorLoop {
    /// libzmq's name for a connection.
    typealias Route = [UInt8]

    /// The other end of a connection.
    struct Peer {
        let role: PeerRole
        let session: SessionID
        let name: String
        /// The latest sessions that this connection ended by another HELLO. Their messages may still arrive.
        var superseded: [SessionID] = []
        var sequence: UInt64 = 0
        var lastHeard: Instant
        /// Messages that did not fit into the connection's queue.
        var waiting: [[[UInt8]]] = []
        /// The worker's CPU time in its last report, to find the share of each job.
        var wireMicroseconds = 0
        /// Results to acknowledge at the end of this turn.
        var acks: [ResultAcks.Entry] = []
    }

    let options: CoordinatorOptions
    let parameters: ClusterParameters
    let mailbox: Mailbox<CoordinatorCommand>
    let workers: SharedCount
    let jobThreads: JobThreads
    let context: Context
    let socket: Socket
    let wireClock: WireClock
    /// The number of this run of the coordinator. It grows from run to run on one host.
    let epoch: UInt64

    var machine: ClusterMachine
    var peers: [Route: Peer] = [:]
    var routes: [SessionID: Route] = [:]
    /// Routes with acknowledgements or waiting messages, in order of appearance.
    var busyRoutes: [Route] = []
    var jobs: [JobID: JobState] = [:]
    var jobOrder: [JobID] = []
    var nextJob: UInt64 = 1
    var contexts = ContextRegistry()
    var pictures = KeptPictures()
    /// Events for the machine, in order. Its actions can cause events.
    var pendingEvents: [ClusterEvent] = []
    /// Contexts of ended jobs. They are released after the machine has closed them.
    var endedContexts: [ContextID] = []
    var resultInHand = ResultInHand()
    /// Bytes of the current message.
    var messageBytes = 0
    /// Leases that could not be sent because their connection was gone.
    var undelivered: [SessionID: [LeaseID]] = [:]
    var isStopping = false
    /// The error that ended the loop without a request.
    private var failure: RuntimeError?
    private var strangersLog = LogThrottle()
    private var nextTick: Instant
    private var lastTick: Instant

    init(
        _ options: CoordinatorOptions, factory: any JobEngineFactory, mailbox: Mailbox<CoordinatorCommand>, workers: SharedCount
    ) throws(RuntimeError) {
        self.options = options
        self.mailbox = mailbox
        self.workers = workers
        parameters = options.clusterParameters
        epoch = UInt64(max(1, Date().timeIntervalSince1970 * 1000))
        // Fewer than a million leases are granted in a millisecond, so no two runs share a number.
        machine = ClusterMachine(parameters: parameters, firstLease: epoch << 20 | 1)
        nextTick = monotonicNow()
        lastTick = nextTick
        context = try Context.make()
        do throws(RuntimeError) { socket = try context.openSocket(.router, options.endpoint) } catch {
            context.terminate()
            throw error
        }
        wireClock = WireClock()
        jobThreads = try JobThreads(factory: factory) { report in mailbox.post(.job(report)) }
    }

    /// Runs a coordinator on the calling thread. Returns the context, which the caller must terminate.
    static func main(
        _ options: CoordinatorOptions, _ factory: any JobEngineFactory, _ mailbox: Mailbox<CoordinatorCommand>,
        _ workers: SharedCount, whenStarted: () -> Void
    ) throws(RuntimeError) -> Context {
        let loop = try CoordinatorLoop(options, factory: factory, mailbox: mailbox, workers: workers)
        whenStarted()
        loop.run()
        return loop.context
    }

    /// Works until `stop`.
    private func run() {
        var poller = Poller(descriptors: [mailbox.descriptor])
        while !isStopping {
            do throws(ZMQError) {
                let readiness = try poller.wait(for: socket, milliseconds: pollMilliseconds())
                if readiness.canReceive { try receiveAll() }
                if readiness.descriptors[0] { for command in mailbox.drain() { handle(command) } }
                let now = monotonicNow()
                if now >= nextTick {
                    lastTick = now
                    tell(.tick, now)
                    checkClients(now)
                    pictures.forgetOld(now)
                    logLeftOut(now)
                }
                flush()
                scheduleTick(now)
            } catch {
                fail(RuntimeError(error))
            }
        }
        farewell()
        if let failure { options.onFailure?(failure) }
    }

    private func pollMilliseconds() -> Int {
        // The queue of a connection gets free without any event.
        if !busyRoutes.isEmpty { return 5 }
        let wait = nextTick.since(monotonicNow()).nanoseconds
        return wait <= 0 ? 1 : min(500, Int((wait + 999_999) / 1_000_000))
    }

    private func scheduleTick(_ now: Instant) {
        // This counts from the last tick, so that messages cannot delay the next one for ever.
        let latest = lastTick + .milliseconds(500)
        nextTick = max(now + .milliseconds(1), min(machine.nextDeadline() ?? latest, latest))
    }

    private func receiveAll() throws(ZMQError) {
        // The number is bounded, so that a flood of messages cannot keep ticks and commands waiting.
        for _ in 0..<256 {
            guard let received = try socket.receive(keeping: WireLimits.frameCount + 1) else { return }
            receive(received)
        }
    }

    private func handle(_ command: CoordinatorCommand) {
        switch command {
        case .submit(let id, let engine, let continuation): submit(id, engine, continuation)
        case .cancel(let id): cancelJob(id, of: nil)
        case .job(let report): handle(report)
        case .fail(let error): fail(error)
        case .shutdown: stop(because: RuntimeError(.unavailable, "The coordinator was stopped; submit the job again."))
        }
    }

    // MARK: The machine

    /// Gives the machine an event and executes its actions, until no event is left.
    func tell(_ event: ClusterEvent, _ now: Instant = monotonicNow(), inHand: EncodedPart? = nil) {
        perform(machine.handle(event, now: now), now, inHand)
        while !pendingEvents.isEmpty {
            var next = pendingEvents.removeFirst()
            if case .disconnected(let id, _) = next {
                next = .disconnected(id, undelivered: undelivered.removeValue(forKey: id) ?? [])
            }
            perform(machine.handle(next, now: now), now, nil)
        }
        for context in endedContexts { contexts.release(context) }
        endedContexts.removeAll(keepingCapacity: true)
    }

    private func perform(_ actions: [ClusterAction], _ now: Instant, _ inHand: EncodedPart?) {
        var leasesLeft: [SessionID: Int] = [:]
        for case .lease(let id, _, _, _, _) in actions { leasesLeft[id, default: 0] += 1 }
        for action in actions {
            switch action {
            case .welcome(let id, let keep): welcome(id, keep)
            case .openContext(let id, let context): openContext(context, on: id)
            case .closeContext(let id, let context):
                if let hash = contexts[context]?.hash { send(.jobClose(ContextNote(hash)), to: id) }
            case .lease(let id, let lease, let key, let attempt, let isAlone):
                leasesLeft[id, default: 1] -= 1
                sendLease(lease, key, (attempt, isAlone), more: leasesLeft[id] != 0, to: id)
            case .cancel(let id, let leases): send(.cancel(LeaseList(leases.map(\.rawValue))), to: id)
            case .recall(let id, let leases): send(.recall(LeaseList(leases.map(\.rawValue))), to: id)
            case .acknowledge(let id, let lease, let verdict): acknowledge(id, lease, verdict)
            case .probe(let id): send(.ping, to: id)
            case .take(let key, _): take(key, inHand, now)
            case .collected(let id, let serial): collected(id, serial, now)
            case .waiting(let id, let reason):
                if let reason { publish(.waiting(reason), of: id) }
            case .jobFailed(let id, let failure): endJob(id, .failed(describe(failure, of: id)))
            case .endSession(let id, let end): endSession(id, end)
            }
        }
    }

    // MARK: The end

    /// Ends after an error.
    func fail(_ error: RuntimeError) {
        guard !isStopping else { return }
        failure = error
        log("the coordinator cannot go on: \(error.logged)")
        stop(because: error)
    }

    func stop(because error: RuntimeError) {
        guard !isStopping else { return }
        isStopping = true
        mailbox.closeForPosting()
        for id in jobOrder { endJob(id, .failed(error)) }
        for command in mailbox.drain() {
            if case .submit(_, _, let continuation) = command {
                continuation.yield(.failed(error))
                continuation.finish()
            }
        }
        for route in peers.keys { send(.bye(Bye(.shutdown)), along: route) }
        flush()
    }

    private func farewell() {
        jobThreads.stop()
        do throws(ZMQError) { try socket.setLinger(milliseconds: 500) } catch { log(error.message) }
    }

    func log(_ line: String) { options.log?(line) }

    /// Logs a line that strangers can cause.
    func logStranger(_ line: String, _ now: Instant) {
        logLeftOut(now)
        if strangersLog.admits(now) { log(line) }
    }

    private func logLeftOut(_ now: Instant) {
        let count = strangersLog.takeLeftOut(now)
        if count > 0 { log("\(count) more such messages were not logged") }
    }
}
