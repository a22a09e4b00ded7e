internal import Cluster
internal import Glibc
internal import Messages
import Sentences
internal import ZMQSockets

/// The worker's messages.
extension WorkerLoop {
    // MARK: Hearing

    func receive(_ packet: Packet, _ now: Instant) {
        switch packet.message {
        case .welcome(let welcome): join(packet.address, welcome, now)
        case .refuse(let refuse): refused(refuse, now)
        case .reset: drive(.reset, now)
        default:
            // Everything else belongs to a session. Messages of an earlier session mean nothing any more.
            guard packet.address.session == session, packet.address.epoch == epoch else { return }
            receiveInSession(packet, now)
        }
    }

    private func receiveInSession(_ packet: Packet, _ now: Instant) {
        switch packet.message {
        case .ping: drive(.pinged, now)
        case .jobOpen(let open):
            let context = number(of: open.context)
            contextParts[context] = open.content
            drive(.openContext(context), now)
            contextParts[context] = nil
        case .jobClose(let note):
            if let context = contextIDs[note.context] { drive(.closeContext(context), now) }
        case .lease(let grant):
            let lease = LeaseID(packet.address.lease)
            if tasks[lease] == nil && outcomes[lease] == nil {
                tasks[lease] = (grant.task, packet.address.job)
            }
            let (isAlone, hasMore) = (grant.alone ?? false, grant.more ?? false)
            let base = grant.base.map { number(of: $0) }
            drive(.leased(lease, number(of: grant.context), base: base, alone: isAlone, more: hasMore), now)
        case .resultAck(let acks): drive(.acknowledged(acks.entries.map { LeaseID($0.lease) }), now)
        case .cancel(let list): drive(.cancelled(list.leases.map(LeaseID.init)), now)
        case .recall(let list): drive(.recalled(list.leases.map(LeaseID.init)), now)
        case .drain: drive(.drainRequested, now)
        case .bye(let bye): dismissed(bye, now)
        default: drive(.heard, now)
        }
    }

    private func join(_ address: Header.Address, _ welcome: Welcome, _ now: Instant) {
        epoch = address.epoch
        session = address.session
        sequence = 0
        log("joined \(options.endpoint)")
        var terms = WorkerTerms()
        terms.heartbeat = .milliseconds(welcome.heartbeat)
        terms.silence = .milliseconds(welcome.silence)
        terms.progress = .milliseconds(welcome.progress)
        terms.acceptDelay = .milliseconds(welcome.acceptDelay)
        terms.resend = .milliseconds(welcome.resend)
        drive(.welcomed(terms, keep: welcome.keep.map(LeaseID.init)), now)
    }

    private func refused(_ refuse: Refuse, _ now: Instant) {
        let code: RuntimeError.Code =
            switch refuse.code {
            case .auth: .refused
            case .version, .config: .configuration
            case .busy, .starting, .frame: .temporary
            }
        log("refused: \(refuse.text)")
        refusal = RuntimeError(code, "The coordinator at \(options.endpoint) refused this worker: \(refuse.text).")
        // An unreadable message does not end a session. Every other refusal means that there is none.
        if refuse.code != .frame {
            drive(.refused(isFinal: refuse.code.isFinal, retryAfter: .milliseconds(refuse.retryAfter)), now)
        }
    }

    private func dismissed(_ bye: Bye, _ now: Instant) {
        log("the coordinator said goodbye: \(bye.reason.rawValue)")
        switch bye.reason {
        case .wedged:
            refusal = RuntimeError(.temporary, "The worker hung on a task and was sent away; start it again.")
            drive(.dismissed(comesBack: false), now)
        case .strikes:
            refusal = RuntimeError(.configuration, "The coordinator could not read this worker's messages; update it.")
            drive(.dismissed(comesBack: false), now)
        case .shutdown, .drained:
            refusal = nil
            drive(.dismissed(comesBack: options.lifelineFD == nil), now)
        }
    }

    private func number(of hash: String) -> ContextID {
        if let id = contextIDs[hash] { return id }
        let id = ContextID(nextContext)
        nextContext += 1
        contextIDs[hash] = id
        contextHashes[id] = hash
        return id
    }

    // MARK: Saying

    func sendHello(_ held: [LeaseID], _ unacked: [LeaseID]) {
        guard let abilities else { return }
        var worker = Hello.Worker(
            worker: workerID, slots: options.parameters.slots, credit: credit,
            numericsClass: abilities.numericsClass, precision: abilities.precision, models: abilities.models)
        (worker.cores, worker.memoryBytes) = (HostProcessors.cores, options.memoryBytes)
        worker.heldLeases = held.prefix(WireLimits.leasesPerList).map(\.rawValue)
        worker.unackedResults = unacked.prefix(WireLimits.leasesPerList).map(\.rawValue)
        let hello = Hello(
            build: PeerFacts.build, instance: instance, host: PeerFacts.host, name: options.name, joinToken: options.joinToken,
            worker: worker)
        epoch = 0
        session = 0
        waiting.removeAll { $0.type == .hello }
        send(.hello(hello))
    }

    /// The leases that it takes at once.
    var credit: Int { WorkerProfile.credit(slots: machine.groupLimit) }

    func sendNote(_ context: ContextID, _ message: (ContextNote) -> Message) {
        if let hash = contextHashes[context] { send(message(ContextNote(hash))) }
    }

    func sendContextFailure(_ context: ContextID) {
        guard let hash = contextHashes[context] else { return }
        var failure = contextErrors[context] ?? Failure(.worker, "the context could not be opened")
        failure.context = hash
        log("a job could not be opened: \(failure.sentence.logged)")
        send(.fail(failure))
    }

    func sendOutcome(_ lease: LeaseID) {
        guard var outcome = outcomes[lease] else { return }
        if case .result(var result) = outcome {
            result.wireMicroseconds = Int(wireClock.nanoseconds / 1000)
            outcome = .result(result)
        }
        send(outcome, lease: lease)
    }

    func send(_ message: Message, lease: LeaseID? = nil) {
        sequence += 1
        var address = Header.Address(epoch: epoch, session: session, sequence: sequence)
        if let lease {
            address.lease = lease.rawValue
            address.job = tasks[lease]?.job ?? .none
        }
        let frames: [[UInt8]]
        do throws(MessageError) { frames = try Packet(message, address).frames() } catch {
            giveUp(error, lease)
            return
        }
        // A sign of life is useless later, so it does not wait.
        let isPerishable = message.type == .ping || message.type == .pong
        if waiting.isEmpty, transmit(frames) || isPerishable { return }
        if isPerishable { return }
        if waiting.count >= WireLimits.queuedControlMessages { waiting.removeFirst() }
        waiting.append((message.type, frames))
    }

    /// An outcome beyond the limits can never be sent: the task has failed.
    private func giveUp(_ error: MessageError, _ lease: LeaseID?) {
        log("a message is too large: \(error.message)")
        guard let lease else { return }
        let failure = Message.fail(Failure(.payload, Sentence(error.message)))
        guard outcomes[lease] != failure else { return }
        outcomes[lease] = failure
        send(failure, lease: lease)
    }

    private func transmit(_ frames: [[UInt8]]) -> Bool {
        do throws(ZMQError) { return try socket.send(frames) == .queued } catch {
            ending = .failed(RuntimeError(error))
            return true
        }
    }

    /// Sends waiting messages until the connection is full.
    func flush() throws(ZMQError) {
        while let next = waiting.first {
            guard try socket.send(next.frames) == .queued else { return }
            waiting.removeFirst()
        }
    }
}

/// The HELLO of this process.
enum PeerFacts {
    static let build = "patchloom"

    static var host: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "unknown" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
