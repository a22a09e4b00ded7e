/// A compute library refused a call, or a backend is not to be had on this machine.
public struct ComputeError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that names the operation and the reason.
    public var message: String
    public var description: String { message }

    public init(_ message: String) { self.message = message }
}
