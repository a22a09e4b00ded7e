/// A compute library refused a call, or this machine lacks a backend.
public struct ComputeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that names the operation and the reason.
    public var message: String
    public var description: String { message }

    public init(_ message: String) { self.message = message }
}
