public import StrictJSON

/// The counted costs of a job. The arithmetic follows from the shapes. It is the same for every backend and any number of
/// workers and threads, unless a worker is lost. Bytes depend on which worker got which task.
public struct RenderCounts: Sendable, Equatable {
    /// The share of one phase.
    public struct Phase: Sendable, Equatable {
        public var name: String
        /// Operations of matrix products, convolutions and attention: two for each product that is added up.
        public var operations: Int
    }

    /// The phases in the order in which they began.
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

extension RenderCounts: JSONRecordable {
    public static var record: JSONRecord<RenderCounts> {
        let any = 0...Int.max
        return JSONRecord(
            RenderCounts.init,
            ("phases", \.phases, .list(of: .record, count: any)), ("worker_peak_bytes", \.workerPeakBytes, .integer(any)),
            ("worker_peak_activation_bytes", \.workerPeakActivationBytes, .integer(any)),
            ("bytes_sent", \.bytesSent, .integer(any)), ("bytes_received", \.bytesReceived, .integer(any)))
    }
}

extension RenderCounts.Phase: JSONRecordable {
    public static var record: JSONRecord<RenderCounts.Phase> {
        JSONRecord(
            RenderCounts.Phase.init, ("name", \.name, .string()), ("operations", \.operations, .integer(0...Int.max)))
    }
}
