internal import Cluster
internal import Messages
internal import Places
import Sentences
internal import StrictJSON

/// Jobs: from submission to the picture.
extension CoordinatorLoop {
    // MARK: Beginning

    func submit(_ uuid: UniqueID, _ engine: any JobEngine, _ continuation: AsyncStream<JobEvent>.Continuation) {
        guard let id = admit(uuid, .local(continuation)) else {
            continuation.yield(.failed(RuntimeError(.temporary, "The queue is full: \(WireLimits.jobs) jobs wait.")))
            continuation.finish()
            return
        }
        jobThreads.post(.begin(engine), of: id)
    }

    private func admit(_ uuid: UniqueID, _ owner: JobOwner) -> JobID? {
        guard jobs.count < WireLimits.jobs else { return nil }
        let id = JobID(nextJob)
        nextJob += 1
        let position = jobOrder.count
        jobs[id] = JobState(uuid: uuid, owner: owner, submitted: monotonicNow(), wireAtSubmission: wireClock.nanoseconds)
        jobOrder.append(id)
        publish(.queued(position: position), of: id)
        return id
    }

    func receive(_ packet: Packet, fromClient route: Route, _ now: Instant) {
        switch packet.message {
        case .submit(let submit):
            let uuid = packet.address.job
            guard uuid != .none, !jobs.values.contains(where: { $0.uuid == uuid }),
                hasRoom(forAttachment: submit.request.payload.count), let id = admit(uuid, .client(route))
            else {
                send(.refuse(Refuse(.busy, "the queue is full, or the job's name is taken", retryAfter: 10_000)), along: route)
                return
            }
            send(.submitted(Submitted(position: jobOrder.count - 1)), along: route) { $0.job = uuid }
            // A client that hung up meanwhile has ended its job.
            guard jobs[id] != nil else { return }
            jobs[id]?.attachmentBytes = submit.request.payload.count
            let order = JobThreads.Command.create(
                request: submit.request, model: submit.model, workers: machine.stayingWorkers)
            jobThreads.post(order, of: id)
        case .jobCancel: cancelJob(packet.address.job, of: route)
        case .jobFetch(let fetch): sendPieces(fetch, of: packet.address.job, along: route, now)
        case .ping: send(.pong, along: route)
        case .bye: disconnected(route)
        default: break
        }
    }

    /// Pictures of jobs stay in memory until their jobs end, so their sum has a limit.
    private func hasRoom(forAttachment bytes: Int) -> Bool {
        bytes == 0 || jobs.values.reduce(bytes) { $0 + $1.attachmentBytes } <= WireLimits.attachmentBytes
    }

    /// Nobody can receive the pictures of a client that is gone.
    func clientLeft(_ route: Route) {
        for id in jobOrder where jobs[id]?.owner.route == route {
            endJob(id, .failed(RuntimeError(.cancelled, "The client is gone.")))
        }
    }

    /// - Parameter route: the client's connection; nil for a job of this process.
    func cancelJob(_ uuid: UniqueID, of route: Route?) {
        guard let id = jobOrder.first(where: { jobs[$0]?.uuid == uuid && jobs[$0]?.owner.route == route }) else {
            // The client does not want the picture any more.
            if route != nil { pictures.forget(uuid) }
            return
        }
        endJob(id, .failed(RuntimeError(.cancelled, "The job was cancelled.")))
    }

    // MARK: Barriers

    func handle(_ report: JobThreads.Report) {
        switch report {
        case .planned(let id, let plan, let needs):
            guard jobs[id] != nil else { return }
            jobs[id]?.plan = plan
            publish(.started(plan), of: id)
            tell(.submitted(id, needs))
        case .barrier(let id, let serial, let barrier, let cpu): open(barrier, serial, of: id, cpu)
        case .took(let id, let cpu): jobs[id]?.timings.merge += .nanoseconds(cpu)
        case .rejected(let id, let serial, let index, let failure, let cpu):
            reject(TaskKey(job: id, barrier: serial, index: index), failure, cpu)
        case .finished(let id, let result, let cpu): finish(id, result, cpu)
        case .failed(let id, let error): endJob(id, .failed(error))
        }
    }

    private func open(_ barrier: EngineBarrier, _ serial: Int, of id: JobID, _ cpu: Int64) {
        guard var job = jobs[id] else { return }
        let isNewPhase =
            job.barrier.map { ($0.place.stage, $0.place.phase) != (barrier.place.stage, barrier.place.phase) } ?? true
        let old = job.contexts
        let context = contexts.retain(barrier.contextHash, barrier.context)
        let base = barrier.base.map { contexts.retain($0.hash, $0.content) }
        job.timings.merge += .nanoseconds(cpu)
        job.barrier = barrier
        job.serial = serial
        job.contexts = [context] + (base.map { [$0] } ?? [])
        job.outputs = [EncodedPart?](repeating: nil, count: barrier.tasks.count)
        jobs[id] = job
        let tasks = barrier.tasks.map {
            ClusterTask(
                context: context, base: base, cost: $0.cost, kind: barrier.phaseNumber,
                byteCount: $0.payloadBytes + WireLimits.headerBytes, thread: $0.thread)
        }
        tell(.barrier(id, serial: serial, tasks))
        // The machine has closed the unused contexts by their numbers, so they can be released now.
        for context in old { contexts.release(context) }
        // Every phase appears in the progress, however short.
        publishProgress(of: id, force: isNewPhase)
    }

    func openContext(_ context: ContextID, on id: SessionID) {
        guard let entry = contexts[context] else { return }
        // If several jobs share the context, the first one counts.
        let owner = jobOrder.first { jobs[$0]?.contexts.contains(context) == true }
        let uuid = owner.flatMap { jobs[$0]?.uuid } ?? .none
        let bytes = send(.jobOpen(JobOpen(context: entry.hash, content: entry.part)), to: id) {
            $0.job = uuid
        }
        if let owner { jobs[owner]?.counts.add(bytesSent: bytes) }
    }

    /// - Parameters:
    ///   - tries: the number of the task's earlier leases, and whether it shares no call with others.
    ///   - more: whether another lease for the same worker follows at once.
    func sendLease(
        _ lease: LeaseID, _ key: TaskKey, _ tries: (attempt: Int, alone: Bool), more: Bool, to id: SessionID
    ) {
        guard let job = jobs[key.job], let barrier = job.barrier, job.serial == key.barrier else { return }
        if job.firstLease == nil {
            let now = monotonicNow()
            jobs[key.job]?.firstLease = now
            jobs[key.job]?.timings.startUp = now.since(job.submitted).duration
        }
        let grant = LeaseGrant(
            context: barrier.contextHash, base: barrier.base?.hash, milliseconds: parameters.lease.milliseconds,
            more: more ? true : nil,
            alone: tries.alone ? true : nil, task: barrier.tasks[key.index].part())
        let bytes = send(.lease(grant), to: id) { address in
            address.lease = lease.rawValue
            address.job = job.uuid
            address.step = UInt32(clamping: barrier.place.step)
            address.taskIndex = UInt32(clamping: key.index)
            address.attempt = UInt16(clamping: tries.attempt)
            address.phase = barrier.phaseNumber
        }
        jobs[key.job]?.counts.add(bytesSent: bytes)
        // The connection was gone already: the worker never got the task and did not die of it.
        if routes[id] == nil { undelivered[id, default: []].append(lease) }
    }

    // MARK: Results

    func receive(_ result: TaskResult, _ lease: LeaseID, from id: SessionID, on route: Route, _ now: Instant) {
        let microseconds = ResultInHand.believable(result.computeMicroseconds)
        resultInHand = ResultInHand(
            computeMicroseconds: microseconds, wireMicroseconds: wireShare(result, route), effort: result.effort,
            messageBytes: messageBytes)
        tell(.result(id, lease, computeTime: Interval(nanoseconds: microseconds * 1000)), now, inHand: result.output)
    }

    /// The worker's CPU time on the wire since its last result.
    private func wireShare(_ result: TaskResult, _ route: Route) -> Int64 {
        let before = peers[route]?.wireMicroseconds ?? 0
        peers[route]?.wireMicroseconds = result.wireMicroseconds
        // The message's reader refuses negative times.
        return ResultInHand.believable(result.wireMicroseconds - before)
    }

    func take(_ key: TaskKey, _ part: EncodedPart?, _ now: Instant) {
        guard var job = jobs.removeValue(forKey: key.job) else { return }
        if let part, job.serial == key.barrier {
            if job.barrier?.takesEach == true {
                jobThreads.post(.take(serial: key.barrier, index: key.index, part), of: key.job)
            } else {
                job.outputs[key.index] = part
            }
            job.tasksDone += 1
            job.count(resultInHand)
        }
        jobs[key.job] = job
        publishProgress(of: key.job, force: false)
    }

    func collected(_ id: JobID, _ serial: Int, _ now: Instant) {
        guard let job = jobs[id], job.serial == serial else { return }
        let numericsClass = machine.numericsClass(of: id) ?? ""
        jobThreads.post(
            .complete(serial: serial, job.outputs.compactMap { $0 }, numericsClass: numericsClass), of: id)
    }

    private func reject(_ key: TaskKey, _ failure: Failure, _ cpu: Int64) {
        guard let job = jobs[key.job], job.serial == key.barrier else { return }
        log("a result was refused: \(failure.sentence.logged)")
        jobs[key.job]?.timings.merge += .nanoseconds(cpu)
        jobs[key.job]?.outputs[key.index] = nil
        jobs[key.job]?.tasksDone -= 1
        tell(.rejected(key, FailureClass(failure.failureClass), failure.sentence))
    }

    // MARK: Ending

    private func finish(_ id: JobID, _ picture: RenderResult, _ cpu: Int64) {
        guard let job = jobs[id] else { return }
        var result = picture
        result.counts = job.counts
        result.timings = job.timings
        result.timings.merge += .nanoseconds(cpu)
        result.timings.png = picture.timings.png
        result.timings.wire = .nanoseconds((wireClock.nanoseconds - job.wireAtSubmission).addingSaturating(job.workerWire))
        result.timings.wall = monotonicNow().since(job.submitted).duration
        publishProgress(of: id, force: true)
        endJob(id, .finished(result))
    }

    /// Ends a job with its last event. The machine cancels the job's leases, if it still knows the job.
    func endJob(_ id: JobID, _ event: JobEvent) {
        // The job is removed before its event is sent: if the client turns out to be gone too, this is called again.
        guard let job = jobs.removeValue(forKey: id) else { return }
        jobOrder.removeAll { $0 == id }
        publish(event, of: job)
        jobThreads.drop(id)
        pendingEvents.append(.ended(id))
        endedContexts += job.contexts
        if case .local(let continuation) = job.owner { continuation.finish() }
    }

    func describe(_ failure: JobFailure, of id: JobID) -> RuntimeError {
        func place(_ key: TaskKey) -> String {
            guard let place = jobs[id]?.barrier?.place else { return "A task" }
            return "In \(place.title), task \(key.index + 1)"
        }
        switch failure {
        case .poisoned(let key, let text):
            return RuntimeError(.jobFailed, "\(place(key)) failed on every worker tried: \(text)")
        case .numeric(let key, let text):
            return RuntimeError(.jobFailed, "\(place(key)) has a result that is not finite: \(text)")
        case .context(let text): return RuntimeError(.badInput, "No worker can prepare the job: \(text)")
        case .starved(let text): return RuntimeError(.temporary, "The job cannot go on: \(text).")
        }
    }

    // MARK: Telling

    private static let publishEvery = Interval.milliseconds(100)

    private func publishProgress(of id: JobID, force: Bool) {
        guard let job = jobs[id], let barrier = job.barrier, let plan = job.plan else { return }
        let now = monotonicNow()
        if !force, let last = job.lastPublished, now.since(last) < CoordinatorLoop.publishEvery { return }
        jobs[id]?.lastPublished = now
        var remaining: Duration?
        if let first = job.firstLease, job.tasksDone > 0, plan.taskCount >= job.tasksDone {
            let seconds = Double(now.since(first).nanoseconds) / 1e9
            remaining = .seconds(seconds * Double(plan.taskCount - job.tasksDone) / Double(job.tasksDone))
        }
        let progress = JobProgress(
            barrier.place, tasksDone: job.tasksDone, tasksTotal: plan.taskCount, workers: machine.workerCount,
            elapsed: now.since(job.submitted).duration, estimatedRemaining: remaining)
        publish(.progress(progress), of: id)
    }

    func publish(_ event: JobEvent, of id: JobID) {
        if let job = jobs[id] { publish(event, of: job) }
    }

    private func publish(_ event: JobEvent, of job: JobState) {
        switch job.owner {
        case .local(let continuation): continuation.yield(event)
        case .client(let route): send(event, of: job.uuid, along: route)
        }
    }

    private func send(_ event: JobEvent, of job: UniqueID, along route: Route) {
        func note(_ note: JobNote) { send(.jobEvent(note), along: route) { $0.job = job } }
        switch event {
        case .queued(let position): note(.queued(position: position))
        case .started(let plan): note(.started(summary: plan.summaryLines, taskCount: plan.taskCount))
        case .progress(let progress): note(.progress(progress))
        case .waiting(let reason): note(.waiting(reason))
        case .failed(let error): note(.failed(exitCode: Int(error.exitCode), sentence: error.sentenceForClient))
        case .finished(let result): offer(result, of: job, along: route)
        }
    }
}

/// Figures of the current result.
struct ResultInHand {
    var computeMicroseconds: Int64 = 0
    var wireMicroseconds: Int64 = 0
    var effort = TaskResult.Effort()
    /// Bytes of the whole message.
    var messageBytes = 0

    /// Nineteen hours, longer than any task. A larger value is wrong or a lie.
    static let mostMicroseconds = 1 << 36

    /// Clamps a worker's time to a range that cannot overflow a sum.
    static func believable(_ microseconds: Int) -> Int64 { Int64(max(0, min(microseconds, mostMicroseconds))) }
}

extension FixedWidthInteger where Self: SignedInteger {
    /// The sum, clamped to the range of the type.
    func addingSaturating(_ other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
