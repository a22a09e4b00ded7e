internal import Messages

/// A job that this process gave to its own coordinator.
public final class RenderJob: Sendable {
    /// 32 hexadecimal digits.
    public let id: String
    /// What happens to the job; ends after `finished` or `failed`. Old progress is dropped when nobody reads.
    public let events: AsyncStream<JobEvent>
    private let onCancel: @Sendable () -> Void

    init(id: UniqueID, events: AsyncStream<JobEvent>, onCancel: @escaping @Sendable () -> Void) {
        self.id = id.hex
        self.events = events
        self.onCancel = onCancel
    }

    /// Gives the job up. Its last event is then `failed` with the code `cancelled`, unless it had ended before.
    public func cancel() { onCancel() }
}
