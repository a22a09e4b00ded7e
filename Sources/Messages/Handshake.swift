internal import StrictJSON

/// What a peer wants of the coordinator. Workers and clients use the same port, so an operator gives one address to everything.
public enum PeerRole: String, Sendable, CaseIterable { case worker, client }

/// HELLO: the peer's identity and abilities.
public struct Hello: Sendable, Equatable {
    /// Fields of workers only.
    public struct Worker: Sendable, Equatable {
        /// Failures count against this name. Today each process takes a random one, so it lives as long as `Hello.instance`.
        public var worker: UniqueID
        /// Tasks it computes at once, and leases it takes at once.
        public var slots: Int
        public var credit: Int
        public var cores: Int
        public var numaNodes: Int
        public var memoryBytes: Int
        public var device: String
        public var dtypes: [String]
        /// Workers of one class give the same bits.
        public var numericsClass: String
        /// Identities of the models it can run, 64 hexadecimal digits each.
        public var models: [String]
        /// Leases of an earlier session still in work, and results without an acknowledgement.
        public var heldLeases: [UInt64]
        public var unackedResults: [UInt64]

        public init(worker: UniqueID, slots: Int, credit: Int, numericsClass: String, models: [String]) {
            self.worker = worker
            self.slots = slots
            self.credit = credit
            self.numericsClass = numericsClass
            self.models = models
            cores = 1
            numaNodes = 1
            memoryBytes = 0
            device = "cpu"
            dtypes = ["f32"]
            heldLeases = []
            unackedResults = []
        }
    }

    /// The range of minor versions the peer speaks.
    public var minorVersions: ClosedRange<Int>
    /// The program and its version.
    public var build: String
    /// New at each start of the process.
    public var instance: UniqueID
    /// The kernel's boot id; empty if hidden.
    public var boot: String
    public var host: String
    /// A name for people.
    public var name: String
    /// The secret of a coordinator that takes only its own processes.
    public var joinToken: String?
    /// nil for a client.
    public var worker: Worker?

    public var role: PeerRole { worker == nil ? .client : .worker }

    public init(build: String, instance: UniqueID, host: String, name: String, joinToken: String? = nil, worker: Worker? = nil)
    {
        minorVersions = Int(Header.minorVersion)...Int(Header.minorVersion)
        self.build = build
        self.instance = instance
        boot = ""
        self.host = host
        self.name = name
        self.joinToken = joinToken
        self.worker = worker
    }
}

extension Hello: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        let lowest = try fields.integer("minor_min", 0...255)
        minorVersions = lowest...(try fields.integer("minor_max", lowest...255))
        build = try fields.string("build")
        instance = try fields.identifier("instance")
        boot = try fields.string("boot")
        host = try fields.string("host")
        name = try fields.string("name")
        joinToken = try fields.optional("join_token", .string(maxBytes: WireLimits.nameBytes))
        let role: PeerRole = try fields.required("role", .choice())
        worker = role == .worker ? try Worker(fields) : nil
    }

    func write(to object: inout JSONObject) {
        object.put("role", role.rawValue)
        object.put("minor_min", minorVersions.lowerBound)
        object.put("minor_max", minorVersions.upperBound)
        object.put("build", build)
        object.put("instance", instance.hex)
        object.put("boot", boot)
        object.put("host", host)
        object.put("name", name)
        object.putIfPresent("join_token", joinToken)
        worker?.write(to: &object)
    }
}

extension Hello.Worker {
    init(_ fields: FieldReader) throws(MessageError) {
        worker = try fields.identifier("worker")
        slots = try fields.integer("slots", 1...WireLimits.slots)
        credit = try fields.integer("credit", 0...(WireLimits.slots + 1))
        cores = try fields.integer("cores", 1...65_536)
        numaNodes = try fields.integer("numa_nodes", 1...4096)
        memoryBytes = try fields.integer("memory_bytes", 0...Int.max)
        device = try fields.string("device")
        dtypes = try fields.strings("dtypes", maxCount: 16)
        numericsClass = try fields.string("numerics_class")
        models = try fields.digests("models", maxCount: WireLimits.models)
        heldLeases = try fields.leases("held")
        unackedResults = try fields.leases("unacked")
    }

    func write(to object: inout JSONObject) {
        object.put("worker", worker.hex)
        object.put("slots", slots)
        object.put("credit", credit)
        object.put("cores", cores)
        object.put("numa_nodes", numaNodes)
        object.put("memory_bytes", memoryBytes)
        object.put("device", device)
        object.put("dtypes", dtypes)
        object.put("numerics_class", numericsClass)
        object.put("models", models)
        object.put("held", leases: heldLeases)
        object.put("unacked", leases: unackedResults)
    }
}

/// WELCOME: the session (in the header) and the times, in milliseconds. The coordinator's times hold for both ends, so
/// heartbeats cannot disagree.
public struct Welcome: Sendable, Equatable {
    public var minor: Int
    /// The interval of an idle peer's signs of life.
    public var heartbeat: Int
    /// After this silence the other end counts as dead.
    public var silence: Int
    /// The longest time of a task without progress.
    public var lease: Int
    /// The interval of progress messages.
    public var progress: Int
    /// The longest wait before a worker reports a lease's arrival.
    public var acceptDelay: Int
    /// The wait for a result's acknowledgement before a worker sends it again.
    public var resend: Int
    public var maxPayload: Int
    /// The leases and results of HELLO to keep; the worker drops the others.
    public var keep: [UInt64]

    public init(
        minor: Int, heartbeat: Int, silence: Int, lease: Int, progress: Int, acceptDelay: Int, resend: Int, keep: [UInt64]
    ) {
        self.minor = minor
        self.heartbeat = heartbeat
        self.silence = silence
        self.lease = lease
        self.progress = progress
        self.acceptDelay = acceptDelay
        self.resend = resend
        maxPayload = WireLimits.payloadBytes
        self.keep = keep
    }
}

extension Welcome: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        minor = try fields.integer("minor", 0...255)
        heartbeat = try fields.milliseconds("heartbeat_ms")
        silence = try fields.milliseconds("silence_ms")
        lease = try fields.milliseconds("lease_ms")
        progress = try fields.milliseconds("progress_ms")
        acceptDelay = try fields.milliseconds("accept_delay_ms")
        resend = try fields.milliseconds("resend_ms")
        maxPayload = try fields.integer("max_payload", 1...Int.max)
        keep = try fields.leases("keep")
    }

    func write(to object: inout JSONObject) {
        object.put("minor", minor)
        object.put("heartbeat_ms", heartbeat)
        object.put("silence_ms", silence)
        object.put("lease_ms", lease)
        object.put("progress_ms", progress)
        object.put("accept_delay_ms", acceptDelay)
        object.put("resend_ms", resend)
        object.put("max_payload", maxPayload)
        object.put("keep", leases: keep)
    }
}

/// REFUSE: the reason, and the time for another try.
public struct Refuse: Sendable, Equatable {
    public enum Code: String, Sendable, CaseIterable {
        /// No common protocol version. Final.
        case version
        /// A setting of the peer or of the job is impossible here. Final.
        case config
        /// The join token is missing or wrong. Final.
        case auth
        /// The farm is full. Try again.
        case busy
        /// The coordinator is not ready. Try again.
        case starting
        /// The peer's messages cannot be read.
        case frame

        /// Whether another try is useless.
        public var isFinal: Bool { self == .version || self == .config || self == .auth }
    }

    public var code: Code
    public var text: String
    /// The wait before another try.
    public var retryAfter: Int

    public init(_ code: Code, _ text: String, retryAfter: Int = 0) {
        self.code = code
        self.text = text.cut()
        self.retryAfter = retryAfter
    }
}

extension Refuse: MetadataCodable {
    init(_ fields: FieldReader) throws(MessageError) {
        code = try fields.required("code", .choice())
        text = try fields.string("text", maxBytes: WireLimits.textBytes)
        retryAfter = try fields.milliseconds("retry_after_ms")
    }

    func write(to object: inout JSONObject) {
        object.put("code", code.rawValue)
        object.put("text", text)
        object.put("retry_after_ms", retryAfter)
    }
}
