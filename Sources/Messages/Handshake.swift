public import StrictJSON

/// The purpose of a peer. Workers and clients use the same port, so an operator gives one address to everything.
public enum PeerRole: String, Sendable, CaseIterable, JSONRepresentable { case worker, client }

/// HELLO: the peer's identity and abilities.
public struct Hello: Sendable, Equatable {
    /// Fields of workers only.
    public struct Worker: Sendable, Equatable {
        /// Failures count against this name. Today each process takes a random one, so it lives as long as `Hello.instance`.
        public var worker: UniqueID
        /// The most tasks it ever computes at once, and the leases it takes at once now.
        public var slots: Int
        public var credit: Int
        /// Physical cores that the process may use. Other workers of the host may use the same ones.
        public var cores: Int
        public var numaNodes: Int
        /// The host's memory, or less in a control group with a limit; 0 if unknown. The workers of a host share it.
        public var memoryBytes: Int
        public var device: String
        /// The precisions that it computes in; today each worker has one.
        public var precisions: [String]
        /// Workers of one class give the same bits.
        public var numericsClass: String
        /// Identities of the models it can run, 64 hexadecimal digits each.
        public var models: [String]
        /// Leases of an earlier session still in work, and results without an acknowledgement.
        public var heldLeases: [UInt64]
        public var unackedResults: [UInt64]
    }

    /// The range of minor versions the peer speaks.
    public var minorVersions = Int(Header.minorVersion)...Int(Header.minorVersion)
    /// The program and its version.
    public var build: String
    /// New at each start of the process.
    public var instance: UniqueID
    /// The kernel's boot id; empty if hidden.
    public var boot = ""
    public var host: String
    /// A name for people.
    public var name: String
    /// The secret of a coordinator that takes only its own processes.
    public var joinToken: String?
    /// The fields of a worker; nil for a client.
    public var worker: Worker?

    public var role: PeerRole { worker == nil ? .client : .worker }

    public init(build: String, instance: UniqueID, host: String, name: String, joinToken: String? = nil, worker: Worker? = nil)
    {
        self.build = build
        self.instance = instance
        self.host = host
        self.name = name
        self.joinToken = joinToken
        self.worker = worker
    }
}

extension Hello: MetadataBody {
    public static var record: JSONRecord<Hello> {
        JSONRecord { fields throws(JSONFieldError) in
            var hello = Hello(
                build: try fields.required("build", .name), instance: try fields.required("instance", .identifier),
                host: try fields.required("host", .name), name: try fields.required("name", .name),
                joinToken: try fields.optional("join_token", .name))
            let lowest = try fields.required("minor_min", .integer(0...255))
            hello.minorVersions = lowest...(try fields.required("minor_max", .integer(lowest...255)))
            hello.boot = try fields.required("boot", .name)
            let role: PeerRole = try fields.required("role", .choice())
            if role == .worker { hello.worker = try Worker(fields) }
            return hello
        } writing: { hello, object in
            object.put("role", hello.role)
            object.put("minor_min", hello.minorVersions.lowerBound)
            object.put("minor_max", hello.minorVersions.upperBound)
            object.put("build", hello.build)
            object.put("instance", hello.instance)
            object.put("boot", hello.boot)
            object.put("host", hello.host)
            object.put("name", hello.name)
            object.put("join_token", hello.joinToken)
            hello.worker?.write(to: &object)
        }
    }
}

extension Hello.Worker: JSONRecordable {
    public init(
        worker: UniqueID, slots: Int, credit: Int, numericsClass: String, precision: String, models: [String]
    ) {
        self.init(
            worker: worker, slots: slots, credit: credit, cores: 1, numaNodes: 1, memoryBytes: 0, device: "cpu",
            precisions: [precision], numericsClass: numericsClass, models: models, heldLeases: [], unackedResults: [])
    }

    public static var record: JSONRecord<Hello.Worker> {
        JSONRecord(
            Hello.Worker.init(
                worker:slots:credit:cores:numaNodes:memoryBytes:device:precisions:numericsClass:models:heldLeases:
                unackedResults:),
            ("worker", \.worker, .identifier),
            ("slots", \.slots, .integer(1...WireLimits.slots)),
            ("credit", \.credit, .integer(0...WireLimits.credit)),
            ("cores", \.cores, .integer(1...65_536)),
            ("numa_nodes", \.numaNodes, .integer(1...4096)),
            ("memory_bytes", \.memoryBytes, .integer(0...Int.max)),
            ("device", \.device, .name),
            ("dtypes", \.precisions, .list(of: .text, count: 0...16)),
            ("numerics_class", \.numericsClass, .name),
            ("models", \.models, .list(of: .digest, count: 0...WireLimits.models)),
            ("held", \.heldLeases, .leases),
            ("unacked", \.unackedResults, .leases))
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
}

extension Welcome: MetadataBody {
    public init(
        minor: Int, heartbeat: Int, silence: Int, lease: Int, progress: Int, acceptDelay: Int, resend: Int, keep: [UInt64]
    ) {
        self.init(
            minor: minor, heartbeat: heartbeat, silence: silence, lease: lease, progress: progress, acceptDelay: acceptDelay,
            resend: resend, maxPayload: WireLimits.payloadBytes, keep: keep)
    }

    public static var record: JSONRecord<Welcome> {
        JSONRecord(
            Welcome.init(minor:heartbeat:silence:lease:progress:acceptDelay:resend:maxPayload:keep:),
            ("minor", \.minor, .integer(0...255)),
            ("heartbeat_ms", \.heartbeat, .milliseconds),
            ("silence_ms", \.silence, .milliseconds),
            ("lease_ms", \.lease, .milliseconds),
            ("progress_ms", \.progress, .milliseconds),
            ("accept_delay_ms", \.acceptDelay, .milliseconds),
            ("resend_ms", \.resend, .milliseconds),
            ("max_payload", \.maxPayload, .integer(1...Int.max)),
            ("keep", \.keep, .leases))
    }
}

/// REFUSE: the reason, and the time for another try.
public struct Refuse: Sendable, Equatable {
    public enum Code: String, Sendable, CaseIterable, JSONRepresentable {
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

extension Refuse: MetadataBody {
    public static var record: JSONRecord<Refuse> {
        JSONRecord(
            Refuse.init, ("code", \.code, .choice()), ("text", \.text, .text), ("retry_after_ms", \.retryAfter, .milliseconds))
    }
}
