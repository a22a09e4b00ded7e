/// A compute library refused a call, this machine lacks a backend, or nobody wants the result any more.
public struct ComputeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that names the operation and the reason.
    public var message: String
    public var description: String { message }
    /// Whether the work ended because `ComputeContext.isWanted` said so.
    public private(set) var isStopped = false

    public init(_ message: String) { self.message = message }

    static var stopped: ComputeError {
        var error = ComputeError("the work was stopped, because nobody wants its result any more")
        error.isStopped = true
        return error
    }
}
