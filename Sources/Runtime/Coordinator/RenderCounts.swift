internal import StrictJSON

/// The counted costs of a job.
///
/// The arithmetic follows from the shapes. It is the same for every backend and any number of
/// workers and threads, unless a worker is lost. Bytes depend on which worker got which task.
public struct RenderCounts: Sendable, Equatable {
    /// The share of one phase.
    public struct Phase: Sendable, Equatable {
        public var name: String
        /// Operations of matrix products, convolutions and attention: two for each product that is added up.
        public var operations: Int
    }

    /// In the order in which the phases began.
    public var phases: [Phase] = []
    /// The largest memory of a worker's whole process during the job; the first job includes loading the weights. 0 if the
    /// systems do not say.
    public var workerPeakBytes = 0
    /// The largest number of bytes of activations in use at once in one worker.
    public var workerPeakActivationBytes = 0
    /// Bytes of the messages that carried tasks and contexts to workers, repeated ones included.
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

// The details that travel with a picture to a client.

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

    /// nil unless it holds encoded counts without a negative number.
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
