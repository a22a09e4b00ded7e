internal import StrictJSON

/// What a job took beside time.
///
/// The arithmetic is counted from the shapes of what is computed: it is the same for every backend, every number of workers and
/// threads, as long as no worker is lost on the way. Bytes depend on who got which task.
public struct RenderCounts: Sendable, Equatable {
    /// The share of one phase.
    public struct Phase: Sendable, Equatable {
        public var name: String
        /// Multiplications and additions of matrix products, convolutions and attention: two for each product that is added up.
        public var operations: Int
    }

    /// In the order in which the phases began.
    public var phases: [Phase] = []
    /// The most memory that one of the job's workers held, as a whole process, while it worked on the job; of a process's first
    /// job, loading the weights included. 0 where the workers' systems do not say.
    public var workerPeakBytes = 0
    /// The most bytes of activations that one of the job's workers had in use at once.
    public var workerPeakActivationBytes = 0
    /// Bytes of the messages that carried tasks and what they share to workers; those sent again included.
    public var bytesSent = 0
    /// Bytes of the messages that carried the results.
    public var bytesReceived = 0

    public init() {}

    /// Multiplications and additions of all phases.
    public var operations: Int { phases.reduce(0) { $0.addingSaturating($1.operations) } }

    /// Bytes of messages both ways.
    public var bytesOnWire: Int { bytesSent.addingSaturating(bytesReceived) }

    mutating func add(bytesSent bytes: Int) { bytesSent = bytesSent.addingSaturating(bytes) }

    mutating func add(operations: Int, to phase: String) {
        if let position = phases.firstIndex(where: { $0.name == phase }) {
            phases[position].operations = phases[position].operations.addingSaturating(operations)
        } else {
            phases.append(Phase(name: phase, operations: operations))
        }
    }
}

// What goes with a picture that is sent to a client.

extension RenderCounts {
    var json: JSONValue {
        let phases = phases.map { phase -> JSONValue in
            ["name": .string(phase.name), "operations": .integer(Int64(phase.operations))]
        }
        return [
            "phases": .array(phases), "worker_peak_bytes": .integer(Int64(workerPeakBytes)),
            "worker_peak_activation_bytes": .integer(Int64(workerPeakActivationBytes)),
            "bytes_sent": .integer(Int64(bytesSent)), "bytes_received": .integer(Int64(bytesReceived)),
        ]
    }

    /// nil for anything but encoded counts; none of them is negative.
    init?(json: JSONValue) {
        func count(_ value: JSONValue, _ key: String) -> Int? { value[key]?.intValue.flatMap { $0 < 0 ? nil : $0 } }
        guard let array = json["phases"]?.arrayValue, let peak = count(json, "worker_peak_bytes"),
            let activations = count(json, "worker_peak_activation_bytes"), let sent = count(json, "bytes_sent"),
            let received = count(json, "bytes_received")
        else { return nil }
        for element in array {
            guard let name = element["name"]?.stringValue, let operations = count(element, "operations") else { return nil }
            phases.append(Phase(name: name, operations: operations))
        }
        (workerPeakBytes, workerPeakActivationBytes) = (peak, activations)
        (bytesSent, bytesReceived) = (sent, received)
    }
}
