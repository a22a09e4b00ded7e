public import Sentences
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

extension Credit: MetadataBody {
    public static let record: JSONRecord<Credit> = JSONRecord(
        Credit.init, ("leases", \.leases, .integer(0...WireLimits.credit)), ("bytes", \.bytes, .integer(0...Int.max)))
}

/// JOB_OPEN: the common context of a barrier's tasks, named by its content hash. Each worker gets it once.
public struct JobOpen: Sendable, Equatable {
    public var context: String
    /// The payload holds its tensors.
    public var content: EncodedPart

    public init(context: String, content: EncodedPart) {
        self.context = context
        self.content = content
    }
}

extension JobOpen: MetadataBody {
    public static let record: JSONRecord<JobOpen> = JSONRecord(
        { JobOpen(context: $0, content: EncodedPart(metadata: $1)) },
        ("context", \.context, .digest), ("content", \.content.metadata, .content))

    static var part: WritableKeyPath<JobOpen, EncodedPart>? { \.content }
}

/// JOB_READY, NEED_JOB, JOB_CLOSE: one context by its hash.
public struct ContextNote: Sendable, Equatable {
    public var context: String

    public init(_ context: String) { self.context = context }
}

extension ContextNote: MetadataBody {
    public static let record: JSONRecord<ContextNote> = JSONRecord(ContextNote.init, ("context", \.context, .digest))
}

/// LEASE: one task. The lease, job, step, index and attempt are in the header.
public struct LeaseGrant: Sendable, Equatable {
    /// The context the task needs.
    public var context: String
    /// The context that this one builds on, which the worker must hold too; nil for none.
    public var base: String?
    /// The longest time without progress.
    public var milliseconds: Int
    /// Whether another lease follows at once, so that the worker can compute both together; nil for no.
    public var more: Bool?
    /// Whether the worker computes the task alone, because an earlier try went wrong; nil for no.
    public var alone: Bool?
    /// The payload holds its tensors.
    public var task: EncodedPart

    public init(
        context: String, base: String? = nil, milliseconds: Int, more: Bool? = nil, alone: Bool? = nil, task: EncodedPart
    ) {
        self.context = context
        self.base = base
        self.milliseconds = milliseconds
        self.more = more
        self.alone = alone
        self.task = task
    }
}

extension LeaseGrant: MetadataBody {
    public static let record: JSONRecord<LeaseGrant> = JSONRecord(
        { LeaseGrant(context: $0, base: $1, milliseconds: $2, more: $3, alone: $4, task: EncodedPart(metadata: $5)) },
        ("context", \.context, .digest), ("base", \.base, .optional(.digest)), ("lease_ms", \.milliseconds, .milliseconds),
        ("more", \.more, .optional(.flag())),
        ("alone", \.alone, .optional(.flag())), ("task", \.task.metadata, .content))

    static var part: WritableKeyPath<LeaseGrant, EncodedPart>? { \.task }
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

extension Progress: MetadataBody {
    public static let record: JSONRecord<Progress> = JSONRecord(
        Progress.init, ("done", \.done, .integer(0...Int.max)), ("total", \.total, .integer(0...Int.max)))
}

/// RESULT: the output of a lease (in the header).
public struct TaskResult: Sendable, Equatable {
    /// Time on the compute thread.
    public var computeMicroseconds: Int
    /// CPU time of everything but computing, since the process started: the worker's share of "wire".
    public var wireMicroseconds: Int
    /// The counted costs of the task.
    public var effort: Effort
    /// The payload holds its tensors.
    public var output: EncodedPart

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

    public init(computeMicroseconds: Int, wireMicroseconds: Int, effort: Effort = Effort(), output: EncodedPart) {
        self.computeMicroseconds = computeMicroseconds
        self.wireMicroseconds = wireMicroseconds
        self.effort = effort
        self.output = output
    }
}

extension TaskResult: MetadataBody {
    public static let record: JSONRecord<TaskResult> = {
        let any = 0...Int.max
        let bytes = 0...WireLimits.memoryBytes
        return JSONRecord(
            { compute, wire, operations, peak, activations, output in
                TaskResult(
                    computeMicroseconds: compute, wireMicroseconds: wire,
                    effort: Effort(operations: operations, peakBytes: peak, peakActivationBytes: activations),
                    output: EncodedPart(metadata: output))
            },
            ("compute_us", \.computeMicroseconds, .integer(any)), ("wire_us", \.wireMicroseconds, .integer(any)),
            ("operations", \.effort.operations, .integer(0...WireLimits.operationsPerTask)),
            ("peak_bytes", \.effort.peakBytes, .integer(bytes)),
            ("peak_activation_bytes", \.effort.peakActivationBytes, .integer(bytes)),
            ("output", \.output.metadata, .content))
    }()

    static var part: WritableKeyPath<TaskResult, EncodedPart>? { \.output }
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
}

extension ResultAcks: MessageBody {
    static func read(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) -> ResultAcks {
        var acks = ResultAcks([])
        for offset in try LeaseList.offsets(type, metadata, payload, entryBytes: 9) {
            guard let verdict = ResultVerdict(rawValue: payload[offset + 8]) else {
                throw MessageError(.field, "\(type): verdict \(payload[offset + 8]) is unknown")
            }
            acks.entries.append(Entry(lease: payload.little(at: offset), verdict: verdict))
        }
        return acks
    }

    var payload: [UInt8] { entries.flatMap { LeaseList.bytes($0.lease) + [$0.verdict.rawValue] } }
}

/// ACCEPT, CANCEL, RECALL, CANCELLED: leases, eight bytes each in the payload.
public struct LeaseList: Sendable, Equatable {
    public var leases: [UInt64]

    public init(_ leases: [UInt64]) { self.leases = leases }
}

extension LeaseList: MessageBody {
    static func read(_ type: MessageType, metadata: [UInt8], payload: [UInt8]) throws(MessageError) -> LeaseList {
        LeaseList(try offsets(type, metadata, payload, entryBytes: 8).map { payload.little(at: $0) })
    }

    var payload: [UInt8] { leases.flatMap(LeaseList.bytes) }

    static func bytes(_ lease: UInt64) -> [UInt8] { withUnsafeBytes(of: lease.littleEndian) { [UInt8]($0) } }

    /// The places of the entries in a payload that is a list.
    static func offsets(
        _ type: MessageType, _ metadata: [UInt8], _ payload: [UInt8], entryBytes: Int
    ) throws(MessageError) -> StrideTo<Int> {
        try type.requireNone(of: metadata, .metadata)
        guard !payload.isEmpty, payload.count % entryBytes == 0, payload.count / entryBytes <= WireLimits.leasesPerList else {
            throw MessageError(
                .length, "\(type): the payload has \(payload.count) bytes, not a list of entries of \(entryBytes)")
        }
        return stride(from: 0, to: payload.count, by: entryBytes)
    }
}

/// FAIL: a task (its lease is in the header) or, with lease 0, a context failed.
public struct Failure: Error, Sendable, Equatable {
    /// The cause, which decides about retries.
    public enum Class: String, Sendable, CaseIterable, JSONRepresentable {
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
    public var sentence: Sentence
    /// The failed context, if there is no lease.
    public var context: String?

    public init(_ failureClass: Class, _ sentence: Sentence, context: String? = nil) {
        self.failureClass = failureClass
        self.sentence = sentence
        self.context = context
    }
}

extension Failure: MetadataBody {
    /// A long text is whole in the log of its worker, and cut in the message.
    public static let record: JSONRecord<Failure> = JSONRecord(
        Failure.init, ("class", \.failureClass, .choice()), ("text", \.cutSentence, .sentence),
        ("context", \.context, .optional(.digest)))

    private var cutSentence: Sentence { sentence.cut() }
}

/// DRAIN: no more leases; the sender ends within the deadline.
public struct Drain: Sendable, Equatable {
    public var deadlineMilliseconds: Int

    public init(deadlineMilliseconds: Int) { self.deadlineMilliseconds = deadlineMilliseconds }
}

extension Drain: MetadataBody {
    public static let record: JSONRecord<Drain> = JSONRecord(Drain.init, ("deadline_ms", \.deadlineMilliseconds, .milliseconds))
}

/// BYE: the orderly end of a session.
public struct Bye: Sendable, Equatable {
    /// Why a session ends.
    public enum Reason: String, Sendable, CaseIterable, JSONRepresentable {
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

extension Bye: MetadataBody {
    public static let record: JSONRecord<Bye> = JSONRecord(Bye.init, ("reason", \.reason, .choice()))
}
