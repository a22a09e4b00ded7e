package import StrictJSON

/// A kind of task: its contents, their form on the wire, the shape of the output, and the computation.
///
/// A worker learns a kind by a type in a file of its own and a line in `RenderPhase.work`. `RenderMachine` makes the tasks.
package protocol TaskWork: Sendable, Equatable {
    /// The members of its metadata beside those of all tasks.
    static var keys: [String] { get }
    /// Whether it takes far more memory than tasks of other kinds and comes only once or twice in a job.
    static var isLarge: Bool { get }
    /// The word for a task's `call` in error messages; nil if people would not ask for it.
    static var callTitle: String? { get }

    /// The time it takes in relation to other tasks of its kind, counted in points of a latent.
    var cost: Double { get }

    /// The number of the thread that it continues, if a worker keeps data for the thread's next task; nil for most kinds.
    var thread: Int? { get }

    /// The shape of its output. Results of workers are checked against it.
    func output(of model: ModelDescription) -> OutputShape

    /// The bytes that `write` gives.
    var payloadBytes: Int { get }

    /// Writes its members and gives the payload.
    func write(to metadata: inout JSONObject) -> [UInt8]

    /// Reads what `write` gives. Throws `.malformed` for anything else, `.nonFinite` for NaN or infinity.
    init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError)

    /// Whether both fit into one call of the network. The work of most kinds is one call.
    func sharesCall(with other: Self) -> Bool

    /// Computes pieces that share a call with each other, and gives their outputs in order. Each has the bits that it has
    /// alone. Throws `ModelError` for work that does not fit the model.
    static func run(_ works: [Self], on model: ModelNetworks, in context: OpenedContext) throws -> [TaskOutput]

    /// Throws `ModelError` for work that does not fit the model.
    func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput
}

extension TaskWork {
    package static var isLarge: Bool { false }

    package static var callTitle: String? { nil }

    package var thread: Int? { nil }

    package var payloadBytes: Int { 0 }

    package func sharesCall(with _: Self) -> Bool { false }

    package static func run(_ works: [Self], on model: ModelNetworks, in context: OpenedContext) throws -> [TaskOutput] {
        try works.map { try $0.run(on: model, in: context) }
    }

    func isEqual(to other: any TaskWork) -> Bool { other as? Self == self }

    func canShareCall(with other: any TaskWork) -> Bool { (other as? Self).map(sharesCall) ?? false }

    /// Computes this piece and others of its kind.
    func run(with others: [any TaskWork], on model: ModelNetworks, in context: OpenedContext) throws -> [TaskOutput] {
        try Self.run([self] + others.compactMap { $0 as? Self }, on: model, in: context)
    }
}

extension RenderPhase {
    /// The kind of the phase's tasks: the table of all kinds.
    var work: any TaskWork.Type {
        switch self {
        case .encode: EncodeWork.self
        case .picture: PictureWork.self
        case .denoise, .structure, .detail: DenoiseWork.self
        case .decode: DecodeWork.self
        }
    }
}
