internal import Cluster
internal import Messages
import Sentences
internal import ZMQSockets

/// Connections: reads messages, finds their sender, and sends.
extension CoordinatorLoop {
    // MARK: Reading

    func receive(_ received: Socket.Received) {
        let now = monotonicNow()
        let route = received.frames[0]
        messageBytes = received.frames.dropFirst().reduce(0) { $0 + $1.count }
        let packet: Packet
        do throws(MessageError) {
            packet = try Packet(frames: Array(received.frames.dropFirst()), frameCount: received.frameCount - 1)
        } catch {
            refuseUnreadable(error, from: route, now)
            return
        }
        if case .hello(let hello) = packet.message {
            greet(hello, on: route, now)
            return
        }
        guard let peer = peers[route] else {
            sendLoose(.reset, along: route)
            return
        }
        guard packet.address.epoch == epoch, packet.address.session == peer.session.rawValue else {
            // If the coordinator is slow, a worker says HELLO again and works under the first WELCOME until it hears the
            // last. Its messages are late, not wrong.
            let isLate = packet.address.epoch == epoch && peer.superseded.contains { $0.rawValue == packet.address.session }
            if !isLate { strike(route, now) }
            return
        }
        peers[route]?.lastHeard = now
        switch peer.role {
        case .worker: receive(packet, fromWorker: peer.session, on: route, now)
        case .client: receive(packet, fromClient: route, now)
        }
    }

    private func refuseUnreadable(_ error: MessageError, from route: Route, _ now: Instant) {
        switch error.code {
        case .ignorable: break
        case .version: sendLoose(.refuse(Refuse(.version, error.message)), along: route)
        default:
            logStranger("a message could not be read: \(error.message)", now)
            sendLoose(.refuse(Refuse(.frame, error.message)), along: route)
            strike(route, now)
        }
    }

    /// Counts a violation of the protocol.
    private func strike(_ route: Route, _ now: Instant) {
        guard let peer = peers[route], peer.role == .worker else { return }
        tell(.strike(peer.session), now)
    }

    private func receive(_ packet: Packet, fromWorker id: SessionID, on route: Route, _ now: Instant) {
        let lease = LeaseID(packet.address.lease)
        switch packet.message {
        case .ping:
            send(.pong, along: route)
            tell(.heard(id), now)
        case .pong: tell(.heard(id), now)
        case .credit(let credit): tell(.credit(id, credit.leases), now)
        case .jobReady(let note): if let context = contexts.id(of: note.context) { tell(.contextReady(id, context), now) }
        case .needJob(let note): if let context = contexts.id(of: note.context) { tell(.contextMissing(id, context), now) }
        case .accept(let list): tell(.accepted(id, list.leases.map(LeaseID.init)), now)
        case .progress: tell(.progressed(id, lease), now)
        case .result(let result): receive(result, lease, from: id, on: route, now)
        case .fail(let failure): receive(failure, lease, from: id, now)
        case .cancelled(let list): tell(.cancelled(id, list.leases.map(LeaseID.init)), now)
        case .drain: tell(.draining(id), now)
        case .bye: tell(.left(id), now)
        default: strike(route, now)
        }
    }

    private func receive(_ failure: Failure, _ lease: LeaseID, from id: SessionID, _ now: Instant) {
        let failureClass = FailureClass(failure.failureClass)
        if let hash = failure.context, lease.rawValue == 0 {
            log("worker \(name(of: id)) cannot open a job: \(failure.sentence.logged)")
            if let context = contexts.id(of: hash) { tell(.contextFailed(id, context, failure.sentence), now) }
        } else {
            if failureClass != .cancelled { log("worker \(name(of: id)) failed a task: \(failure.sentence.logged)") }
            tell(.failed(id, lease, failureClass, failure.sentence), now)
            // FAIL is acknowledged like a result. The worker keeps it until then.
            acknowledge(id, lease, .accepted)
        }
    }

    func name(of id: SessionID) -> String { routes[id].flatMap { peers[$0]?.name } ?? "of an ended session" }

    // MARK: HELLO

    /// A worker doubles its wait after each HELLO, up to half a minute: these sessions span several minutes.
    private static let supersededMax = 16

    private func greet(_ hello: Hello, on route: Route, _ now: Instant) {
        if let refusal = refusal(of: hello, on: route) {
            logStranger("\(hello.name) on \(hello.host) was refused: \(refusal.text)", now)
            sendLoose(.refuse(refusal), along: route)
            return
        }
        // Another HELLO gives the connection a new session. If it is the same process, the machine moves its leases to it.
        let earlier = peers[route]
        forget(route)
        let id = SessionID(.random(in: 1...UInt64.max))
        var peer = Peer(role: hello.role, session: id, name: hello.name, lastHeard: now)
        if let earlier { peer.superseded = (earlier.superseded + [earlier.session]).suffix(Self.supersededMax) }
        peers[route] = peer
        routes[id] = route
        if let worker = hello.worker {
            log("worker \(hello.name) on \(hello.host) joined (\(worker.numericsClass))")
            var profile = WorkerProfile(
                worker: PeerID(worker.worker), instance: PeerID(hello.instance), host: hello.host, slots: worker.slots,
                numericsClass: worker.numericsClass, models: worker.models, precisions: worker.precisions,
                memoryBytes: worker.memoryBytes)
            profile.setCredit(worker.credit)
            tell(.joined(id, profile, held: (worker.heldLeases + worker.unackedResults).map(LeaseID.init)), now)
            workers.value = machine.workerCount
        } else {
            welcome(id, [])
        }
        // This does nothing if the machine has moved the leases to the new session.
        if let earlier, earlier.role == .worker { tell(.disconnected(earlier.session, undelivered: []), now) }
    }

    private func refusal(of hello: Hello, on route: Route) -> Refuse? {
        if let token = options.joinToken, !isSameSecret(token, hello.joinToken ?? "") {
            return Refuse(.auth, "the join token is missing or wrong")
        }
        guard hello.minorVersions.contains(Int(Header.minorVersion)) else {
            return Refuse(.version, "this coordinator speaks protocol \(Header.majorVersion).\(Header.minorVersion)")
        }
        if peers[route] == nil && peers.count >= WireLimits.sessions {
            return Refuse(.busy, "\(WireLimits.sessions) peers are connected already", retryAfter: 10_000)
        }
        return nil
    }

    /// Compares in a time that does not depend on the place of the first difference.
    private func isSameSecret(_ a: String, _ b: String) -> Bool {
        let left = Array(a.utf8)
        let right = Array(b.utf8)
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    func welcome(_ id: SessionID, _ keep: [LeaseID]) {
        let terms = parameters.terms
        let welcome = Welcome(
            minor: Int(Header.minorVersion), heartbeat: terms.heartbeat.milliseconds, silence: terms.silence.milliseconds,
            lease: parameters.lease.milliseconds, progress: terms.progress.milliseconds,
            acceptDelay: terms.acceptDelay.milliseconds, resend: terms.resend.milliseconds, keep: keep.map(\.rawValue))
        send(.welcome(welcome), to: id)
    }

    // MARK: Sending

    /// - Returns: as for `send(_:along:)`.
    @discardableResult
    func send(_ message: Message, to id: SessionID, _ fill: (inout Header.Address) -> Void = { _ in }) -> Int {
        guard let route = routes[id] else { return 0 }
        return send(message, along: route, fill)
    }

    /// Sends within a session. If the connection's queue is full, the message waits; too many waiting messages end the
    /// connection.
    ///
    /// - Returns: the message's bytes, header and metadata included; 0 if it cannot be sent or the peer is gone.
    @discardableResult
    func send(_ message: Message, along route: Route, _ fill: (inout Header.Address) -> Void = { _ in }) -> Int {
        guard var peer = peers[route] else { return 0 }
        peer.sequence += 1
        peers[route]?.sequence = peer.sequence
        var address = Header.Address(epoch: epoch, session: peer.session.rawValue, sequence: peer.sequence)
        fill(&address)
        let frames: [[UInt8]]
        do throws(MessageError) { frames = try Packet(message, address).frames() } catch {
            tooLarge(error, address.job)
            return 0
        }
        let bytes = frames.reduce(0) { $0 + $1.count }
        if peer.waiting.isEmpty {
            switch transmit(frames, along: route) {
            case .queued: return bytes
            case .unreachable: return 0
            case .wouldBlock: break
            }
        }
        guard peer.waiting.count < WireLimits.queuedControlMessages else {
            log("\(peer.name) takes no messages any more")
            disconnected(route)
            return 0
        }
        peers[route]?.waiting.append(frames)
        if !busyRoutes.contains(route) { busyRoutes.append(route) }
        return bytes
    }

    /// Sends frames, and ends a connection that is gone.
    private func transmit(_ frames: [[UInt8]], along route: Route) -> Socket.Delivery {
        do throws(ZMQError) {
            let delivery = try socket.send([route] + frames)
            if delivery == .unreachable { disconnected(route) }
            return delivery
        } catch {
            fail(RuntimeError(error))
            return .unreachable
        }
    }

    /// No worker can receive a task or a context beyond the limits.
    private func tooLarge(_ error: MessageError, _ job: UniqueID) {
        log("a message is too large: \(error.message)")
        guard let id = jobs.first(where: { $0.value.uuid == job })?.key else { return }
        endJob(id, .failed(RuntimeError(.jobFailed, "The job cannot be sent to workers: \(error.message).")))
    }

    /// Answers a peer without a session. The answer is lost if it cannot be sent at once.
    func sendLoose(_ message: Message, along route: Route) {
        do {
            _ = try socket.send([route] + Packet(message, Header.Address(epoch: epoch)).frames())
        } catch {
            logStranger("an answer could not be sent: \(error)", monotonicNow())
        }
    }

    func acknowledge(_ id: SessionID, _ lease: LeaseID, _ verdict: Verdict) {
        guard let route = routes[id] else { return }
        peers[route]?.acks.append(ResultAcks.Entry(lease: lease.rawValue, verdict: ResultVerdict(verdict)))
        if !busyRoutes.contains(route) { busyRoutes.append(route) }
    }

    /// Sends the collected acknowledgements and the waiting messages.
    func flush() {
        let routes = busyRoutes
        busyRoutes.removeAll(keepingCapacity: true)
        for route in routes {
            if let acks = peers[route]?.acks, !acks.isEmpty {
                peers[route]?.acks.removeAll(keepingCapacity: true)
                for start in stride(from: 0, to: acks.count, by: WireLimits.leasesPerList) {
                    let end = min(acks.count, start + WireLimits.leasesPerList)
                    send(.resultAck(ResultAcks(Array(acks[start..<end]))), along: route)
                }
            }
            while let frames = peers[route]?.waiting.first, transmit(frames, along: route) != .wouldBlock {
                peers[route]?.waiting.removeFirst()
            }
            if peers[route]?.waiting.isEmpty == false, !busyRoutes.contains(route) { busyRoutes.append(route) }
        }
        settle()
    }

    private func settle() {
        while !pendingEvents.isEmpty { tell(pendingEvents.removeFirst()) }
    }

    // MARK: Ends of connections

    /// Ends a connection that is gone, or whose peer takes no messages.
    func disconnected(_ route: Route) {
        guard let peer = peers[route] else { return }
        forget(route)
        switch peer.role {
        case .worker:
            log("the connection of worker \(peer.name) is gone")
            pendingEvents.append(.disconnected(peer.session, undelivered: []))
        case .client: clientLeft(route)
        }
    }

    private func forget(_ route: Route) {
        guard let peer = peers.removeValue(forKey: route) else { return }
        routes[peer.session] = nil
    }

    func endSession(_ id: SessionID, _ end: SessionEnd) {
        switch end {
        case .wedged: send(.bye(Bye(.wedged)), to: id)
        case .strikes: send(.bye(Bye(.strikes)), to: id)
        case .silent, .lost, .orderly, .superseded: break
        }
        if end != .superseded && end != .orderly { log("worker \(name(of: id)) was given up: \(end)") }
        if let route = routes[id] { forget(route) }
        workers.value = machine.workerCount
    }

    /// Ends silent clients. A broken connection shows when something is sent; a client that hangs shows by its silence.
    func checkClients(_ now: Instant) {
        let silent = peers.filter { $0.value.role == .client && now.since($0.value.lastHeard) >= parameters.terms.silence }
        for route in silent.keys { disconnected(route) }
        settle()
    }
}

extension PeerID {
    init(_ id: UniqueID) { self.init(high: id.high, low: id.low) }
}

extension FailureClass {
    init(_ failure: Failure.Class) {
        switch failure {
        case .worker: self = .worker
        case .payload: self = .payload
        case .nonFinite: self = .nonFinite
        case .transport: self = .transport
        case .cancelled: self = .cancelled
        }
    }
}

extension ResultVerdict {
    init(_ verdict: Verdict) {
        switch verdict {
        case .accepted: self = .accepted
        case .duplicate: self = .duplicate
        case .stale: self = .stale
        }
    }
}
