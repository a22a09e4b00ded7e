public import StrictJSON

/// CREDIT: the most that a worker takes.
public struct Credit: Sendable, Equatable {
    /// The most leases it holds, the computed ones included.
    public var leases: Int
    /// The most payload bytes it holds.
    public var bytes: Int

    public init(leases: Int, bytes: Int) {
        self.leases = leases
        self.bytes = bytes
    }
}

extension Credit: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        leases = try fields.integer("leases", 0...(WireLimits.slots + 1))
        bytes = try fields.integer("bytes", 0...Int.max)
    }

    func write(to object: inout JSONObject) {
        object.put("leases", leases)
        object.put("bytes", bytes)
    }
}

/// JOB_OPEN: the common context of a barrier's tasks, named by its content hash. Each worker gets it once.
public struct JobOpen: Sendable, Equatable {
    public var context: String
    /// The metadata of the context; its tensors are the payload.
    public var content: JSONValue
    public var payload: [UInt8]

    public init(context: String, content: JSONValue, payload: [UInt8]) {
        self.context = context
        self.content = content
        self.payload = payload
    }
}

/// JOB_READY, NEED_JOB, JOB_CLOSE: one context by its hash.
public struct ContextNote: Sendable, Equatable {
    public var context: String

    public init(_ context: String) { self.context = context }
}

extension ContextNote: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) { context = try fields.digest("context") }

    func write(to object: inout JSONObject) { object.put("context", context) }
}

/// LEASE: one task. The lease, job, step, index and attempt are in the header.
public struct LeaseGrant: Sendable, Equatable {
    /// The context the task needs.
    public var context: String
    /// The longest time without progress.
    public var milliseconds: Int
    /// The task's own metadata; its tensors are the payload.
    public var task: JSONValue
    public var payload: [UInt8]

    public init(context: String, milliseconds: Int, task: JSONValue, payload: [UInt8]) {
        self.context = context
        self.milliseconds = milliseconds
        self.task = task
        self.payload = payload
    }
}

/// PROGRESS: the computation of a lease (in the header) goes on.
public struct Progress: Sendable, Equatable {
    public var done: Int
    /// 0 if the amount is unknown.
    public var total: Int

    public init(done: Int, total: Int) {
        self.done = done
        self.total = total
    }
}

extension Progress: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        done = try fields.integer("done", 0...Int.max)
        total = try fields.integer("total", 0...Int.max)
    }

    func write(to object: inout JSONObject) {
        object.put("done", done)
        object.put("total", total)
    }
}

/// RESULT: the output of a lease (in the header).
public struct TaskResult: Sendable, Equatable {
    /// Time on the compute thread.
    public var computeMicroseconds: Int
    /// CPU time of everything but computing, since the process started: the worker's share of "wire".
    public var wireMicroseconds: Int
    /// The counted costs of the task.
    public var effort: Effort
    /// The output's own metadata; its tensors are the payload.
    public var output: JSONValue
    public var payload: [UInt8]

    /// The counted costs of computing.
    public struct Effort: Sendable, Equatable {
        /// Multiplications and additions of matrix products, convolutions and attention, of this task.
        public var operations: Int
        /// The largest memory of the worker's process since the job's first task there; 0 if the system does not say.
        public var peakBytes: Int
        /// The most bytes of activations in use at once since the job's first task there.
        public var peakActivationBytes: Int

        public init(operations: Int = 0, peakBytes: Int = 0, peakActivationBytes: Int = 0) {
            self.operations = operations
            self.peakBytes = peakBytes
            self.peakActivationBytes = peakActivationBytes
        }
    }

    public init(
        computeMicroseconds: Int, wireMicroseconds: Int, effort: Effort = Effort(), output: JSONValue, payload: [UInt8]
    ) {
        self.computeMicroseconds = computeMicroseconds
        self.wireMicroseconds = wireMicroseconds
        self.effort = effort
        self.output = output
        self.payload = payload
    }
}

extension TaskResult.Effort: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        operations = try fields.integer("operations", 0...WireLimits.operationsPerTask)
        peakBytes = try fields.integer("peak_bytes", 0...WireLimits.memoryBytes)
        peakActivationBytes = try fields.integer("peak_activation_bytes", 0...WireLimits.memoryBytes)
    }

    func write(to object: inout JSONObject) {
        object.put("operations", operations)
        object.put("peak_bytes", peakBytes)
        object.put("peak_activation_bytes", peakActivationBytes)
    }
}

/// The verdict on a result.
public enum ResultVerdict: UInt8, Sendable, CaseIterable {
    /// It entered the barrier.
    case accepted = 1
    /// Another result of the same task was first.
    case duplicate = 2
    /// Nobody waits for it any more.
    case stale = 3
}

/// RESULT_ACK: results that arrived; nine bytes each in the payload (lease, verdict).
public struct ResultAcks: Sendable, Equatable {
    /// The lease of a result, and the verdict.
    public struct Entry: Sendable, Equatable {
        public var lease: UInt64
        public var verdict: ResultVerdict

        public init(lease: UInt64, verdict: ResultVerdict) {
            self.lease = lease
            self.verdict = verdict
        }
    }

    public var entries: [Entry]

    public init(_ entries: [Entry]) { self.entries = entries }

    static let entryBytes = 9

    init(payload: [UInt8]) throws(MessageError) {
        guard !payload.isEmpty, payload.count % ResultAcks.entryBytes == 0,
            payload.count / ResultAcks.entryBytes <= WireLimits.leasesPerList
        else {
            throw MessageError(.length, "resultAck: the payload has \(payload.count) bytes, not a list of acknowledgements")
        }
        entries = []
        for offset in stride(from: 0, to: payload.count, by: ResultAcks.entryBytes) {
            guard let verdict = ResultVerdict(rawValue: payload[offset + 8]) else {
                throw MessageError(.field, "resultAck: verdict \(payload[offset + 8]) is unknown")
            }
            entries.append(Entry(lease: payload.little(at: offset), verdict: verdict))
        }
    }

    var payload: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(entries.count * ResultAcks.entryBytes)
        for entry in entries {
            LeaseList.append(entry.lease, to: &bytes)
            bytes.append(entry.verdict.rawValue)
        }
        return bytes
    }
}

/// ACCEPT, CANCEL, CANCELLED: leases, eight bytes each in the payload.
public struct LeaseList: Sendable, Equatable {
    public var leases: [UInt64]

    public init(_ leases: [UInt64]) { self.leases = leases }

    init(payload: [UInt8], of type: MessageType) throws(MessageError) {
        guard !payload.isEmpty, payload.count % 8 == 0, payload.count / 8 <= WireLimits.leasesPerList else {
            throw MessageError(.length, "\(type): the payload has \(payload.count) bytes, not a list of leases")
        }
        leases = stride(from: 0, to: payload.count, by: 8).map { payload.little(at: $0) }
    }

    var payload: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8 * leases.count)
        for lease in leases { LeaseList.append(lease, to: &bytes) }
        return bytes
    }

    static func append(_ lease: UInt64, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: lease.littleEndian) { bytes.append(contentsOf: $0) }
    }
}

/// FAIL: a task (its lease is in the header) or, with lease 0, a context failed.
public struct Failure: Sendable, Equatable {
    /// The cause, which decides about retries.
    public enum Class: String, Sendable, CaseIterable {
        /// The worker: memory, weights, a wedged thread.
        case worker
        /// The task: its input is refused.
        case payload
        /// The output holds NaN or infinity.
        case nonFinite = "non_finite"
        /// The message was damaged on its way.
        case transport
        /// Given back: the worker drains.
        case cancelled
    }

    public var failureClass: Class
    public var text: String
    /// The failed context, if there is no lease.
    public var context: String?

    public init(_ failureClass: Class, _ text: String, context: String? = nil) {
        self.failureClass = failureClass
        self.text = text.cut()
        self.context = context
    }
}

extension Failure: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        failureClass = try fields.required("class", .choice())
        text = try fields.string("text", maxBytes: WireLimits.textBytes)
        context = try fields.optionalDigest("context")
    }

    func write(to object: inout JSONObject) {
        object.put("class", failureClass.rawValue)
        object.put("text", text)
        object.putIfPresent("context", context)
    }
}

/// DRAIN: no more leases; the sender ends within the deadline.
public struct Drain: Sendable, Equatable {
    public var deadlineMilliseconds: Int

    public init(deadlineMilliseconds: Int) { self.deadlineMilliseconds = deadlineMilliseconds }
}

extension Drain: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) { deadlineMilliseconds = try fields.milliseconds("deadline_ms") }

    func write(to object: inout JSONObject) { object.put("deadline_ms", deadlineMilliseconds) }
}

/// BYE: the orderly end of a session.
public struct Bye: Sendable, Equatable {
    /// Why a session ends.
    public enum Reason: String, Sendable, CaseIterable {
        /// The sender ends as requested.
        case shutdown
        /// The worker finished its drain.
        case drained
        /// The worker did not answer for its leases.
        case wedged
        /// Too many unreadable or forged messages.
        case strikes
    }

    public var reason: Reason

    public init(_ reason: Reason) { self.reason = reason }
}

extension Bye: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) { reason = try fields.required("reason", .choice()) }

    func write(to object: inout JSONObject) { object.put("reason", reason.rawValue) }
}
