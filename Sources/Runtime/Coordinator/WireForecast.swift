internal import Cluster
internal import Messages
public import Rendering
internal import StrictJSON

/// The bytes of a render's messages, known before it begins: `RenderCounts` will have about the same number.
public struct WireForecast: Sendable {
    /// The share of a phase.
    public struct Phase: Sendable {
        /// Bytes of tasks and their contexts.
        public var sent: Int
        /// Bytes of results.
        public var received: Int
    }

    /// The shares of the forecast's phases.
    public let phases: [Phase]

    public var sent: Int { phases.reduce(0) { $0 + $1.sent } }
    public var received: Int { phases.reduce(0) { $0 + $1.received } }

    /// - Parameter workers: the number of workers that share the work. Each gets every context.
    public init(_ forecast: RenderForecast, workers: Int) {
        phases = forecast.phases.map { phase in
            let contents = phase.contents.reduce(0) { $0 + Self.bytes($1) * min(workers, $1.receivers) }
            return phase.tasks.reduce(into: Phase(sent: contents, received: 0)) { sum, tasks in
                sum.sent += tasks.count * Self.leaseBytes(tasks)
                sum.received += tasks.count * Self.resultBytes(tasks) + tasks.outputBytes
            }
        }
    }

    private static func bytes(_ content: RenderForecast.Content) -> Int {
        let open = JobOpen(context: digits, content: EncodedPart(metadata: content.metadata))
        return Message.jobOpen(open).byteCount + content.payloadBytes
    }

    private static func leaseBytes(_ tasks: RenderForecast.Tasks) -> Int {
        let grant = LeaseGrant(
            context: digits, base: tasks.hasBase ? digits : nil, milliseconds: ClusterParameters().lease.milliseconds,
            task: EncodedPart(metadata: tasks.metadata))
        return Message.lease(grant).byteCount + tasks.payloadBytes
    }

    /// Bytes of a result without its payload. The worker's measurements have the digits of usual tasks.
    private static func resultBytes(_ tasks: RenderForecast.Tasks) -> Int {
        let effort = TaskResult.Effort(operations: 100_000_000_000, peakBytes: 1_000_000_000, peakActivationBytes: 100_000_000)
        let result = TaskResult(
            computeMicroseconds: 1_000_000, wireMicroseconds: 1000, effort: effort,
            output: EncodedPart(metadata: tasks.outputMetadata))
        return Message.result(result).byteCount
    }

    /// As many digits as a context's hash has.
    private static let digits = String(repeating: "0", count: 64)
}
