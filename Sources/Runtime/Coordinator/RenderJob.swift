/// A job from this process to its own coordinator.
public struct RenderJob: Sendable {
    /// 32 hexadecimal digits.
    public let id: String
    /// The job's events; they end after `finished` or `failed`. Old progress is dropped if nobody reads.
    public let events: AsyncStream<JobEvent>
    let onCancel: @Sendable () -> Void

    /// Cancels the job. Its last event is then `failed` with the code `cancelled`, unless it had ended before.
    public func cancel() { onCancel() }
}
