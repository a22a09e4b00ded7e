import Cluster
import Sentences

/// A small seeded generator.
struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 &+ 0x1234_5678_9ABC_DEF1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }
}

/// The faults of the simulated world.
struct Weather: Sendable {
    var dropPercent = 0
    var duplicatePercent = 0
    var reorderPercent = 0
    /// Crashes of a random worker in one run. Each worker comes back later as a new process.
    var crashes = 0
    /// The number of times that a random link stops for a while.
    var clogs = 0
    /// The share of all tries that fail through the worker's fault.
    var failPercent = 0
    /// The share of calls that take seconds.
    var slowPercent = 0
    /// How often a random worker is told to drain. Each one comes back later as a new process.
    var drains = 0
    /// Whether the workers' memory changes: their limits, and the number of tasks that go into a call, are random.
    var changesGroups = false
}

/// Messages in the machines' terms. Other tests cover the wire format.
enum ToWorker: Sendable {
    case welcome(SessionID, [LeaseID]), reset, openContext(ContextID), closeContext(ContextID)
    case lease(LeaseID, TaskKey, alone: Bool, more: Bool), cancel([LeaseID]), recall([LeaseID]), acknowledge([LeaseID]), ping,
        bye
}

enum ToCoordinator: Sendable {
    case hello(WorkerProfile, [LeaseID])
    case credit(Int), ready(ContextID), need(ContextID), accept([LeaseID]), progress(LeaseID)
    case result(LeaseID, Int), fail(LeaseID), cancelled([LeaseID]), drain, bye, ping
}

/// The coordinator, its workers and the network between them, on one simulated clock.
///
/// A result is a number that only its task determines. So the end can check that every task's result entered once and is
/// right.
struct Simulation: Sendable {
    struct Node: Sendable {
        var machine: WorkerMachine
        var profile: WorkerProfile
        var isAlive = true
        var isDraining = false
        /// The session that the worker puts into its messages.
        var session: SessionID?
        var tasks: [LeaseID: TaskKey] = [:]
        var results: [LeaseID: Int?] = [:]
        /// The tasks of calls that failed.
        var failedTogether: Set<LeaseID> = []
        /// The tasks of the last call, the leases that nobody waits for, and those of stopped calls.
        var call: [LeaseID] = []
        var abandoned: Set<LeaseID> = []
        var stopped: Set<LeaseID> = []
        var cloggedUntil = Instant(nanoseconds: 0)
        /// The number of the connection. Each reconnect or restart makes a new one, so that old messages go nowhere.
        var connection = 0
    }

    struct Pending: Sendable {
        let due: Instant
        let order: Int
        let action: Action
    }

    enum Action: Sendable {
        case toWorker(Int, connection: Int, ToWorker)
        case toCoordinator(Int, connection: Int, SessionID?, ToCoordinator)
        case opened(Int, connection: Int, ContextID)
        case groupLimit(Int, connection: Int, Int)
        case computed(Int, connection: Int, LeaseID, ok: Bool)
        case returned(Int, connection: Int, [LeaseID])
        case failedTogether(Int, connection: Int, [LeaseID])
        case merged(JobID, serial: Int)
        case crash, restart(Int), clog, drain
    }

    var random: SeededRandom
    let weather: Weather
    var now = Instant(nanoseconds: 1)
    var cluster: ClusterMachine
    var nodes: [Node] = []
    var pending: [Pending] = []
    var order = 0
    var sessionOwner: [SessionID: (node: Int, connection: Int)] = [:]
    var nextSession: UInt64 = 1
    var jobs: [JobID: [[Int?]]] = [:]
    var barrierSizes: [JobID: [Int]] = [:]
    var finished: Set<JobID> = []
    var failed: [JobID: JobFailure] = [:]
    var broken: [String] = []
    var leasesGranted = 0
    var largestGroup = 0
    var stoppedCalls = 0
    /// The numerics classes whose results entered each job.
    var classesTaken: [JobID: Set<String>] = [:]
    /// Leases that found their connection gone.
    var undelivered: [SessionID: [LeaseID]] = [:]

    /// - Parameter slots: the largest group of each worker, in turn.
    init(seed: UInt64, workers: Int, weather: Weather, classes: [String] = ["a"], slots: [Int] = [1]) {
        random = SeededRandom(seed: seed)
        self.weather = weather
        var parameters = ClusterParameters()
        parameters.lease = .seconds(5)
        parameters.starvation = .seconds(60)
        cluster = ClusterMachine(parameters: parameters)
        for index in 0..<workers {
            let profile = WorkerProfile(
                worker: PeerID(high: 1, low: UInt64(index)), instance: PeerID(high: 2, low: UInt64(index)),
                slots: slots[index % slots.count], numericsClass: classes[index % classes.count], models: ["m"])
            nodes.append(Node(machine: Simulation.machine(profile, now), profile: profile))
        }
        for _ in 0..<weather.crashes { schedule(.crash, after: Int.random(in: 0...3000, using: &random)) }
        for _ in 0..<weather.drains { schedule(.drain, after: Int.random(in: 0...150, using: &random)) }
        for _ in 0..<weather.clogs { schedule(.clog, after: Int.random(in: 0...3000, using: &random)) }
    }

    static func machine(_ profile: WorkerProfile, _ now: Instant) -> WorkerMachine {
        var parameters = WorkerParameters()
        parameters.slots = profile.slots
        return WorkerMachine(parameters: parameters, now: now)
    }

    static func value(_ key: TaskKey) -> Int { Int(key.job.rawValue) * 1_000_000 + key.barrier * 1000 + key.index }

    mutating func schedule(_ action: Action, after milliseconds: Int) {
        order += 1
        pending.append(Pending(due: now + .milliseconds(max(0, milliseconds)), order: order, action: action))
    }

    mutating func submit(_ id: JobID, barriers: [Int]) {
        barrierSizes[id] = barriers
        jobs[id] = barriers.map { [Int?](repeating: nil, count: $0) }
        perform(cluster.handle(.submitted(id, WorkerNeeds(model: "m")), now: now), inHand: nil)
        open(id, 0)
    }

    mutating func open(_ id: JobID, _ serial: Int) {
        let tasks = (0..<barrierSizes[id]![serial]).map {
            ClusterTask(context: ContextID(id.rawValue * 10 + UInt64(serial % 2)), cost: Double(1 + $0 % 3), byteCount: 1000)
        }
        perform(cluster.handle(.barrier(id, serial: serial, tasks), now: now), inHand: nil)
    }

    /// Runs until every job has ended or the time is over.
    mutating func run(seconds: Int) {
        let end = now + .seconds(seconds)
        while now < end, finished.count + failed.count < jobs.count, broken.isEmpty { step() }
    }

    mutating func step() {
        var next = cluster.nextDeadline() ?? now + .seconds(1)
        for node in nodes where node.isAlive { if let due = node.machine.nextDeadline() { next = min(next, due) } }
        if let first = pending.map(\.due).min() { next = min(next, first) }
        next = min(next, now + .milliseconds(500))
        now = max(next, now + .milliseconds(1))
        let ready = pending.filter { $0.due <= now }.sorted { ($0.due, $0.order) < ($1.due, $1.order) }
        pending.removeAll { $0.due <= now }
        for item in ready { happen(item.action) }
        for index in nodes.indices where nodes[index].isAlive { drive(index, .tick) }
        perform(cluster.handle(.tick, now: now), inHand: nil)
        checkInvariants()
    }

    // MARK: The network

    mutating func transmit(_ action: Action, node: Int) {
        guard !random.chance(weather.dropPercent) else { return }
        var delay = Int.random(in: 0...5, using: &random)
        if random.chance(weather.reorderPercent) { delay += Int.random(in: 0...200, using: &random) }
        if nodes[node].cloggedUntil > now { delay += nodes[node].cloggedUntil.since(now).milliseconds }
        schedule(action, after: delay)
        if random.chance(weather.duplicatePercent) { schedule(action, after: delay + Int.random(in: 0...500, using: &random)) }
    }

    mutating func happen(_ action: Action) {
        switch action {
        case .toWorker(let node, let connection, let message):
            guard nodes[node].isAlive, nodes[node].connection == connection else { return }
            deliver(message, to: node)
        case .toCoordinator(let node, let connection, let session, let message):
            guard nodes[node].connection == connection else { return }
            receive(message, from: node, connection, session)
        case .opened(let node, let connection, let context):
            guard nodes[node].isAlive, nodes[node].connection >= connection else { return }
            drive(node, .contextOpened(context, ok: true))
        case .groupLimit(let node, let connection, let limit):
            if isAlive(node, connection) { drive(node, .groupLimit(limit)) }
        case .returned(let node, let connection, let leases):
            if isAlive(node, connection) { drive(node, .returned(leases)) }
        case .failedTogether(let node, let connection, let leases):
            guard isAlive(node, connection), nodes[node].stopped.isDisjoint(with: leases) else { return }
            nodes[node].failedTogether.formUnion(leases)
            drive(node, .failedTogether(leases))
        case .computed(let node, let connection, let lease, let ok):
            guard isAlive(node, connection), !nodes[node].stopped.contains(lease) else { return }
            nodes[node].results[lease] = ok ? nodes[node].tasks[lease].map(Simulation.value) : .some(nil)
            drive(node, .computed(lease))
        case .merged(let id, let serial):
            guard barrierSizes[id] != nil, failed[id] == nil else { return }
            if serial + 1 < barrierSizes[id]!.count {
                open(id, serial + 1)
            } else {
                finished.insert(id)
                perform(cluster.handle(.ended(id), now: now), inHand: nil)
            }
        case .crash: crash()
        case .restart(let node): restart(node)
        case .drain:
            let node = Int.random(in: 0..<nodes.count, using: &random)
            guard nodes[node].isAlive else { return }
            nodes[node].isDraining = true
            drive(node, .terminate)
        case .clog:
            let node = Int.random(in: 0..<nodes.count, using: &random)
            nodes[node].cloggedUntil = now + .milliseconds(Int.random(in: 100...15_000, using: &random))
        }
    }

    /// Whether the process that began a computation still runs.
    func isAlive(_ node: Int, _ process: Int) -> Bool {
        nodes[node].isAlive && process == nodes[node].profile.instance.high.asInt
    }

    mutating func crash() {
        let node = Int.random(in: 0..<nodes.count, using: &random)
        guard nodes[node].isAlive else { return }
        nodes[node].isAlive = false
        nodes[node].connection += 1
        schedule(.restart(node), after: Int.random(in: 10...5000, using: &random))
    }

    mutating func restart(_ node: Int) {
        var profile = nodes[node].profile
        profile.instance.high += 1
        nodes[node] = Node(
            machine: Simulation.machine(profile, now), profile: profile, connection: nodes[node].connection + 1)
    }

    // MARK: The coordinator's side

    mutating func receive(_ message: ToCoordinator, from node: Int, _ connection: Int, _ session: SessionID?) {
        if case .hello(let profile, let held) = message {
            let id = SessionID(nextSession)
            nextSession += 1
            sessionOwner[id] = (node, connection)
            perform(cluster.handle(.joined(id, profile, held: held), now: now), inHand: nil)
            return
        }
        guard let session, let owner = sessionOwner[session], owner.node == node, owner.connection == connection else {
            transmit(.toWorker(node, connection: connection, .reset), node: node)
            return
        }
        let event: ClusterEvent
        var inHand: Int?
        switch message {
        case .hello: return
        case .credit(let credit): event = .credit(session, credit)
        case .ready(let context): event = .contextReady(session, context)
        case .need(let context): event = .contextMissing(session, context)
        case .accept(let leases): event = .accepted(session, leases)
        case .progress(let lease): event = .progressed(session, lease)
        case .result(let lease, let value):
            inHand = value
            event = .result(session, lease, computeTime: .milliseconds(20))
        case .fail(let lease): event = .failed(session, lease, .cancelled, "")
        case .cancelled(let leases): event = .cancelled(session, leases)
        case .drain: event = .draining(session)
        case .bye: event = .left(session)
        case .ping: event = .heard(session)
        }
        perform(cluster.handle(event, now: now), inHand: inHand)
    }

    mutating func perform(_ actions: [ClusterAction], inHand: Int?) {
        var leasesLeft: [SessionID: Int] = [:]
        for case .lease(let id, _, _, _, _) in actions { leasesLeft[id, default: 0] += 1 }
        for action in actions {
            switch action {
            case .welcome(let id, let keep): send(.welcome(id, keep), to: id)
            case .openContext(let id, let context): send(.openContext(context), to: id)
            case .closeContext(let id, let context): send(.closeContext(context), to: id)
            case .lease(let id, let lease, let key, _, let isAlone):
                leasesGranted += 1
                leasesLeft[id, default: 1] -= 1
                if failed[key.job] != nil || finished.contains(key.job) { broken.append("lease for the ended job \(key)") }
                if let owner = sessionOwner[id], nodes[owner.node].connection != owner.connection {
                    // The router socket refuses a message for a connection that is gone.
                    undelivered[id, default: []].append(lease)
                } else {
                    send(.lease(lease, key, alone: isAlone, more: leasesLeft[id] != 0), to: id)
                }
            case .cancel(let id, let leases): send(.cancel(leases), to: id)
            case .recall(let id, let leases): send(.recall(leases), to: id)
            case .acknowledge(let id, let lease, _): send(.acknowledge([lease]), to: id)
            case .probe(let id): probe(id)
            case .take(let key, let session):
                noteClass(of: session, for: key.job)
                store(key, inHand)
            case .collected(let id, let serial): collected(id, serial)
            case .waiting: break
            case .jobFailed(let id, let failure): failed[id] = failure
            case .endSession(let id, let end):
                if end == .wedged || end == .strikes { send(.bye, to: id) }
                sessionOwner[id] = nil
            }
        }
        while let (id, leases) = undelivered.min(by: { $0.key.rawValue < $1.key.rawValue }) {
            undelivered[id] = nil
            perform(cluster.handle(.disconnected(id, undelivered: leases), now: now), inHand: nil)
        }
    }

    mutating func send(_ message: ToWorker, to id: SessionID) {
        guard let owner = sessionOwner[id] else { return }
        transmit(.toWorker(owner.node, connection: owner.connection, message), node: owner.node)
    }

    /// A probe of a broken connection says so, as the router socket does.
    mutating func probe(_ id: SessionID) {
        guard let owner = sessionOwner[id] else { return }
        if nodes[owner.node].connection != owner.connection {
            perform(cluster.handle(.disconnected(id, undelivered: []), now: now), inHand: nil)
        } else {
            send(.ping, to: id)
        }
    }

    mutating func noteClass(of session: SessionID, for job: JobID) {
        guard let owner = sessionOwner[session] else { return broken.append("take from nobody") }
        classesTaken[job, default: []].insert(nodes[owner.node].profile.numericsClass)
        if classesTaken[job]?.count != 1 { broken.append("\(job) is mixed of \(classesTaken[job] ?? [])") }
    }

    mutating func store(_ key: TaskKey, _ value: Int?) {
        guard let value else { return broken.append("take of \(key) without a result in hand") }
        if jobs[key.job]?[key.barrier][key.index] != nil { broken.append("\(key) was taken twice") }
        if value != Simulation.value(key) { broken.append("\(key) got the result \(value)") }
        jobs[key.job]?[key.barrier][key.index] = value
    }

    mutating func collected(_ id: JobID, _ serial: Int) {
        if jobs[id]?[serial].contains(where: { $0 == nil }) != false { broken.append("barrier \(serial) collected with holes") }
        schedule(.merged(id, serial: serial), after: Int.random(in: 0...10, using: &random))
    }

    // MARK: The workers' side

    mutating func deliver(_ message: ToWorker, to node: Int) {
        switch message {
        case .welcome(let id, let keep):
            if !nodes[node].machine.isJoined { nodes[node].session = id }
            drive(node, .welcomed(cluster.parameters.terms, keep: keep))
        case .reset: drive(node, .reset)
        case .openContext(let context): drive(node, .openContext(context))
        case .closeContext(let context): drive(node, .closeContext(context))
        case .lease(let lease, let key, let isAlone, let more):
            nodes[node].tasks[lease] = key
            let context = ContextID(key.job.rawValue * 10 + UInt64(key.barrier % 2))
            drive(node, .leased(lease, context, alone: isAlone, more: more))
        case .cancel(let leases): drive(node, .cancelled(leases))
        case .recall(let leases): drive(node, .recalled(leases))
        case .acknowledge(let leases): drive(node, .acknowledged(leases))
        case .ping: drive(node, .pinged)
        case .bye: drive(node, .dismissed(comesBack: true))
        }
    }

    mutating func drive(_ node: Int, _ event: WorkerEvent) {
        for action in nodes[node].machine.handle(event, now: now) {
            switch action {
            case .reconnect: nodes[node].connection += 1
            case .sendHello(let held, let unacked):
                var profile = nodes[node].profile
                profile.setCredit(credit(of: node))
                post(node, .hello(profile, held + unacked))
            case .sendCredit: post(node, .credit(credit(of: node)))
            case .sendPing, .sendPong: post(node, .ping)
            case .sendReady(let context): post(node, .ready(context))
            case .sendNeed(let context): post(node, .need(context))
            case .sendContextFailed, .close: break
            case .end:
                nodes[node].isAlive = false
                nodes[node].connection += 1
                schedule(.restart(node), after: Int.random(in: 10...5000, using: &random))
            case .sendAccept(let leases): post(node, .accept(leases))
            case .sendProgress(let lease): post(node, .progress(lease))
            case .sendOutcome(let lease):
                if case .some(.some(let value)) = nodes[node].results[lease] {
                    post(node, .result(lease, value))
                } else {
                    post(node, .fail(lease))
                }
            case .sendCancelled(let leases): post(node, .cancelled(leases))
            case .sendDrain: post(node, .drain)
            case .sendBye: post(node, .bye)
            case .open(let context): schedule(.opened(node, connection: nodes[node].connection, context), after: 5)
            case .compute(let group):
                if group.count > nodes[node].profile.slots { broken.append("a group of \(group.count)") }
                largestGroup = max(largestGroup, group.count)
                compute(group, on: node)
            case .abandon(let leases): abandon(leases, on: node)
            case .forget(let lease):
                nodes[node].tasks[lease] = nil
                nodes[node].results[lease] = nil
            }
        }
    }

    /// One call of the network, with some or all of the tasks.
    mutating func compute(_ group: [LeaseID], on node: Int) {
        if nodes[node].isDraining { broken.append("a worker began a group after it was told to end") }
        let (slots, instance) = (nodes[node].profile.slots, nodes[node].profile.instance.high.asInt)
        let count = weather.changesGroups ? Int.random(in: 1...group.count, using: &random) : group.count
        let limit = weather.changesGroups ? Int.random(in: 1...slots, using: &random) : slots
        let isSlow = weather.slowPercent > 0 && random.chance(weather.slowPercent)
        let time = Int.random(in: isSlow ? 2000...9000 : 5...60, using: &random)
        nodes[node].call = Array(group.prefix(count))
        schedule(.groupLimit(node, connection: instance, limit), after: time)
        if group.count > 1, !nodes[node].failedTogether.isDisjoint(with: group) {
            broken.append("a group of tasks that failed together")
        }
        let failsTogether = count > 1 && random.chance(weather.failPercent)
        if failsTogether {
            schedule(.failedTogether(node, connection: instance, Array(group.prefix(count))), after: time)
        }
        for lease in failsTogether ? [] : group.prefix(count) {
            let fails = random.chance(weather.failPercent)
            schedule(.computed(node, connection: instance, lease, ok: !fails), after: time)
        }
        if count < group.count {
            schedule(.returned(node, connection: instance, Array(group.dropFirst(count))), after: time)
        }
    }

    /// Most calls stop soon after nobody waits for any of their tasks. Some are past the last moment to ask.
    mutating func abandon(_ leases: [LeaseID], on node: Int) {
        let call = nodes[node].call
        nodes[node].abandoned.formUnion(leases)
        guard nodes[node].abandoned.isSuperset(of: call), nodes[node].stopped.isDisjoint(with: call), random.chance(70) else {
            return
        }
        stoppedCalls += 1
        nodes[node].stopped.formUnion(call)
        schedule(.returned(node, connection: nodes[node].profile.instance.high.asInt, call), after: 1)
    }

    func credit(of node: Int) -> Int { WorkerProfile.credit(slots: nodes[node].machine.groupLimit) }

    mutating func post(_ node: Int, _ message: ToCoordinator) {
        transmit(
            .toCoordinator(node, connection: nodes[node].connection, nodes[node].session, message), node: node)
    }

    // MARK: Invariants

    mutating func checkInvariants() {
        for id in jobs.keys where !finished.contains(id) && failed[id] == nil {
            guard let counts = cluster.taskCounts(of: id), let sizes = barrierSizes[id] else { continue }
            if !sizes.contains(counts.open + counts.leased + counts.done) {
                broken.append("counts of \(id) do not add up: \(counts)")
            }
        }
        if let problem = cluster.inconsistency() { broken.append(problem) }
    }
}

extension UInt64 {
    /// The number as an `Int`, for tagging messages of one process.
    fileprivate var asInt: Int { Int(self) }
}
