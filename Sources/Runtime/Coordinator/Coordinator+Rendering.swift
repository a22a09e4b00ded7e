internal import Messages
public import Rendering

extension Coordinator {
    /// Binds the endpoint and starts.
    /// - Throws: `RuntimeError`: `unavailable` if the address is in use or belongs to another machine, `usage` if it is
    ///   malformed, and the errors of a model.
    public static func start(_ options: CoordinatorOptions) throws(RuntimeError) -> Coordinator {
        try Coordinator(options, factory: RenderEngineFactory(options))
    }

    /// Submits a job. Jobs run in the order of submission; later ones fill the gaps of earlier ones.
    /// - Parameter model: the model's name or identity; nil for the first of the options.
    /// - Throws: `RuntimeError` if the request is wrong.
    public func submit(_ request: RenderRequest, model: String? = nil) throws(RuntimeError) -> RenderJob {
        try submit(try factory.makeEngine(request: EncodedPart(request.encoded()), model: model))
    }
}

extension SubmitClient {
    /// Submits a request to the coordinator at an address, waits, and gives the picture. Blocks the calling thread, which must
    /// not be one of Swift's own pool.
    ///
    /// - Parameters:
    ///   - model: a name that the coordinator knows, or an identity, or the first digits of one; nil for its first model.
    ///   - joinToken: the coordinator's secret, where it has one.
    ///   - onEvent: called on this thread with every event, `finished` included; `failed` is thrown instead.
    ///   - isCancelled: asked several times a second; once true, the job is cancelled and the call throws `cancelled`.
    /// - Throws: `RuntimeError`: `unavailable` when nobody answers within five seconds or the coordinator is lost, `refused`,
    ///   `configuration`, `temporary`, or the failure of the job.
    public static func render(
        coordinator: String, request: RenderRequest, model: String? = nil, joinToken: String? = nil,
        onEvent: (JobEvent) -> Void = { _ in }, isCancelled: () -> Bool = { false }
    ) throws(RuntimeError) -> RenderResult {
        let order = Order(
            coordinator: coordinator, request: EncodedPart(request.encoded()), model: model, joinToken: joinToken)
        return try run(order, onEvent: onEvent, isCancelled: isCancelled)
    }
}
