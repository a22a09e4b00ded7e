import Runtime
import StrictJSON

extension Report {
    /// The counted costs of the job, one a line.
    static func lines(_ counts: RenderCounts) -> [String] {
        let rows = [
            ("arithmetic", teraflop(counts.operations), "TFLOP", "matrix products, convolutions, attention"),
            ("worker's memory", mebibytes(counts.workerPeakBytes), "MiB", "the most that one worker process held"),
            ("activations", mebibytes(counts.workerPeakActivationBytes), "MiB", "the most of them in one worker at once"),
            ("on the wire", mebibytes(counts.bytesOnWire), "MiB", "tasks to workers and results back"),
        ]
        return rows.map { name, figure, unit, meaning in
            "\(padded(name, 18)) \(padded(figure, 9, left: true)) \(padded(unit, 5)) \(meaning)"
        }
    }

    static func json(_ counts: RenderCounts) -> JSONValue {
        let phases = counts.phases.map { phase -> JSONValue in
            ["phase": .string(phase.name), "operations": .integer(Int64(phase.operations))]
        }
        return [
            "operations": .integer(Int64(counts.operations)), "phases": .array(phases),
            "worker_peak_bytes": .integer(Int64(counts.workerPeakBytes)),
            "worker_peak_activation_bytes": .integer(Int64(counts.workerPeakActivationBytes)),
            "bytes_sent": .integer(Int64(counts.bytesSent)), "bytes_received": .integer(Int64(counts.bytesReceived)),
        ]
    }

    /// 10¹² multiplications and additions.
    static func teraflop(_ operations: Int) -> String { fixed(Double(operations) / 1e12, digits: 3) }

    static func mebibytes(_ bytes: Int) -> String { fixed(Double(bytes) / 1_048_576, digits: 1) }
}
