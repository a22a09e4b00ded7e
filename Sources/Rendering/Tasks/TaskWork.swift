package import StrictJSON

/// A kind of task: its contents, their form on the wire, the shape of the output, and the computation.
///
/// A kind is a type in a file of its own and a line in `RenderPhase.work`.
package protocol TaskWork: Sendable, Equatable {
    /// The members of its metadata beside those of all tasks.
    static var keys: [String] { get }
    /// Whether it takes far more memory than tasks of other kinds and comes only once or twice in a job.
    static var isLarge: Bool { get }

    /// The time it takes in relation to other tasks of the render, counted in points of a latent.
    var cost: Double { get }

    /// The shape of its output. Results of workers are checked against it.
    func output(of model: ModelDescription) -> OutputShape

    /// Writes its members and gives the payload.
    func write(to metadata: inout JSONObject) -> [UInt8]

    /// Reads what `write` gives. Throws `.malformed` for anything else, `.nonFinite` for NaN or infinity.
    init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError)

    /// Throws `ModelError` for work that does not fit the model.
    func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput
}

extension TaskWork {
    package static var isLarge: Bool { false }

    func isEqual(to other: any TaskWork) -> Bool { other as? Self == self }
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
