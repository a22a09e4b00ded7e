internal import Cluster
internal import Messages
import Sentences
internal import ZMQSockets

/// A job for a coordinator in another process.
public enum SubmitClient {
    /// The request and its coordinator.
    struct Order: Sendable {
        var coordinator: String
        var request: EncodedPart
        var model: String?
        var joinToken: String?
        /// The longest time to look for the coordinator.
        var connectTimeout: Duration = .seconds(5)
        /// The longest time to look for it again after the connection broke, and to wait for the next piece of a picture.
        var resumeTimeout: Duration = .seconds(60)
        /// The time to wait for a piece before asking for it again.
        var askAgain: Duration = .seconds(5)
    }

    /// Submits, waits, and returns the picture. Blocks the calling thread, which must not belong to Swift's own pool.
    static func run(
        _ order: Order, onEvent: (JobEvent) -> Void, isCancelled: () -> Bool
    ) throws(RuntimeError) -> RenderResult {
        try PeerTexts.check(joinToken: order.joinToken)
        let context = try Context.make()
        // The conversation and its socket are gone when the closure returns. Only then may the context go.
        let outcome = Result { () throws(RuntimeError) in
            try ClientConversation(order, context).run(onEvent: onEvent, isCancelled: isCancelled)
        }
        context.terminate()
        return try outcome.get()
    }
}

/// One client's conversation with its coordinator, on one thread.
private final class ClientConversation {
    private enum State {
        /// The client sends HELLO (again) at the given time, and gives up after a while.
        case greeting(next: Instant, since: Instant)
        case joined
    }

    private let order: SubmitClient.Order
    private let socket: Socket
    private let uuid = UniqueID.random()
    private let instance = UniqueID.random()
    private var state: State
    private var address = Header.Address()
    private var lastHeard: Instant
    private var lastSent: Instant
    private var heartbeat = Interval.seconds(2)
    private var silence = Interval.seconds(10)
    private var cancelDeadline: Instant?
    /// The picture, once it is finished.
    private var download: PictureDownload?
    private var hasSubmitted = false
    /// Whether the coordinator has said anything about the job.
    private var isAccepted = false
    /// The times at which the last piece came, and at which one was asked for.
    private var lastPiece: Instant
    private var lastAsked: Instant

    init(_ order: SubmitClient.Order, _ context: Context) throws(RuntimeError) {
        self.order = order
        let now = monotonicNow()
        state = .greeting(next: now, since: now)
        lastHeard = now
        lastSent = now
        (lastPiece, lastAsked) = (now, now)
        socket = try context.openSocket(.dealer, order.coordinator)
    }

    func run(onEvent: (JobEvent) -> Void, isCancelled: () -> Bool) throws(RuntimeError) -> RenderResult {
        var poller = Poller(descriptors: [])
        do {
            while true {
                // The wait is short, so that the loop notices a cancellation and repeats a greeting that could not be sent.
                let ready = try poller.wait(for: socket, milliseconds: 50)
                if ready.canReceive {
                    while let received = try socket.receive(keeping: WireLimits.frameCount + 1) {
                        let packet = try Packet(frames: received.frames, frameCount: received.frameCount)
                        if let result = try receive(packet, onEvent) {
                            try say(.bye(Bye(.shutdown)))
                            try socket.setLinger(milliseconds: 500)
                            return result
                        }
                    }
                }
                try keepAlive(monotonicNow())
                if try hasGivenUp(isCancelled(), monotonicNow()) {
                    throw RuntimeError(.cancelled, "The job was cancelled.")
                }
            }
        } catch let error as RuntimeError {
            throw error
        } catch let error as ZMQError {
            throw RuntimeError(error)
        } catch {
            throw RuntimeError(
                .internalFault,
                "The coordinator at \(order.coordinator) sent a message that cannot be read: \(String(describing: error))")
        }
    }

    // MARK: Saying

    @discardableResult
    private func say(_ message: Message) throws -> Bool {
        address.sequence += 1
        address.job = uuid
        lastSent = monotonicNow()
        return try socket.send(Packet(message, address).frames()) == .queued
    }

    private func keepAlive(_ now: Instant) throws {
        switch state {
        case .greeting(let next, let since):
            if now.since(since).duration >= (download != nil ? order.resumeTimeout : order.connectTimeout) {
                if hasSubmitted { throw lost("it does not answer any more") }
                throw RuntimeError(
                    .unavailable, "No coordinator answers at \(order.coordinator); start one there, or check the address.")
            }
            guard next <= now else { return }
            let hello = Hello(
                build: PeerFacts.build, instance: instance, host: PeerFacts.host, name: "submit", joinToken: order.joinToken)
            // Nothing can be sent without a connection. The answer to a sent cancellation gets half a second.
            let isSent = try say(.hello(hello))
            state = .greeting(next: now + .milliseconds(isSent ? 500 : 20), since: since)
        case .joined:
            if now.since(lastHeard) >= silence {
                state = .greeting(next: now, since: now)
                return
            }
            try askForPieces(now)
            if now.since(lastSent) >= heartbeat {
                try say(.ping)
            }
        }
    }

    /// Whether a cancellation was sent, and was answered or had its time.
    private func hasGivenUp(_ isCancelled: Bool, _ now: Instant) throws -> Bool {
        guard isCancelled else { return false }
        if case .greeting = state { return true }
        if cancelDeadline == nil {
            try say(.jobCancel)
            cancelDeadline = now + .seconds(2)
        }
        return cancelDeadline.map { $0 <= now } ?? false
    }

    private func lost(_ reason: String) -> RuntimeError {
        RuntimeError(.unavailable, "The coordinator at \(order.coordinator) was lost: \(reason); submit the job again.")
    }

    // MARK: Hearing

    private func receive(_ packet: Packet, _ onEvent: (JobEvent) -> Void) throws -> RenderResult? {
        lastHeard = monotonicNow()
        switch packet.message {
        case .welcome(let welcome): try join(packet.address, welcome)
        case .refuse(let refuse): throw refused(refuse)
        case .reset:
            if case .greeting = state { return nil }
            // The connection broke. If the picture is finished, it waits at the coordinator.
            state = .greeting(next: lastHeard, since: lastHeard)
        case .bye: throw lost("it was stopped")
        case .submitted where packet.address.job == uuid: isAccepted = true
        case .jobEvent(let note) where packet.address.job == uuid:
            isAccepted = true
            try report(note, onEvent)
        case .jobResult(let chunk) where packet.address.job == uuid: return try take(chunk, onEvent)
        default: break
        }
        return nil
    }

    /// A coordinator that is slow to answer gets HELLO again, and answers each HELLO with a session of its own. Only the last
    /// session counts: the coordinator does not hear messages of earlier ones.
    private func join(_ address: Header.Address, _ welcome: Welcome) throws {
        var isNew = address.session != self.address.session || address.epoch != self.address.epoch
        if case .greeting = state { isNew = true }
        (self.address.epoch, self.address.session) = (address.epoch, address.session)
        heartbeat = .milliseconds(max(10, welcome.heartbeat))
        silence = .milliseconds(max(100, welcome.silence))
        state = .joined
        guard isNew else { return }
        if isAccepted {
            try fetch()
        } else {
            hasSubmitted = true
            try say(.submit(Submit(request: order.request, model: order.model)))
        }
    }

    /// Asks for the next pieces; for the first one if none is here.
    private func fetch() throws {
        lastAsked = monotonicNow()
        try say(.jobFetch(download?.ask() ?? ResultFetch(first: 0, count: 1)))
    }

    /// Asks again for pieces that did not come, and gives up after a while.
    private func askForPieces(_ now: Instant) throws {
        guard download != nil else { return }
        if now.since(lastPiece).duration >= order.resumeTimeout { throw lost("no piece of the picture comes any more") }
        if now.since(max(lastPiece, lastAsked)).duration >= order.askAgain { try fetch() }
    }

    private func refused(_ refuse: Refuse) -> RuntimeError {
        let code: RuntimeError.Code =
            switch refuse.code {
            case .auth: .refused
            case .version, .config: .configuration
            case .busy, .starting: .temporary
            case .frame: .internalFault
            }
        return RuntimeError(code, "The coordinator at \(order.coordinator) refused: \(refuse.text).")
    }

    private func report(_ note: JobNote, _ onEvent: (JobEvent) -> Void) throws {
        switch note {
        case .queued(let position): onEvent(.queued(position: position))
        case .started(let summary, let taskCount): onEvent(.started(JobOutline(summaryLines: summary, taskCount: taskCount)))
        case .progress(let progress): onEvent(.progress(progress))
        case .waiting(let reason): onEvent(.waiting(reason))
        case .failed(let exitCode, let text):
            throw RuntimeError(RuntimeError.Code(rawValue: Int32(clamping: exitCode)) ?? .jobFailed, text)
        }
    }

    private func take(_ chunk: ResultChunk, _ onEvent: (JobEvent) -> Void) throws -> RenderResult? {
        if download == nil, chunk.index == 0 { download = try PictureDownload(chunk) }
        let isTime = try download?.take(chunk) ?? false
        lastPiece = monotonicNow()
        guard isTime else { return nil }
        // After the last piece this lets the coordinator forget the picture.
        try fetch()
        guard let download, download.isComplete else { return nil }
        let result = try download.result()
        onEvent(.finished(result))
        return result
    }
}
