package import StrictJSON

/// A kind of task: what its tasks hold, how that travels, what answers them, and how a worker computes it.
///
/// A kind is a type in a file of its own and a line in `RenderPhase.work`.
package protocol TaskWork: Sendable, Equatable {
    /// The members of its metadata, beside those that all tasks have.
    static var keys: [String] { get }
    /// Whether it takes far more memory than the tasks of other kinds, and comes only once or twice in a job.
    static var isLarge: Bool { get }

    /// How long it takes in relation to other tasks of the render, counted in pixels of a latent.
    var cost: Double { get }

    /// What answers it: the one statement that workers' results are held against.
    func output(of model: ModelDescription) -> OutputShape

    /// Writes its members and gives the payload.
    func write(to metadata: inout JSONObject) -> [UInt8]

    /// Throws `.malformed` for anything that `write` does not give, `.nonFinite` for NaN or infinity.
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
