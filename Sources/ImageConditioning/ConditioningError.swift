/// A run cannot start from a picture as requested.
public struct ConditioningError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that names the value and the remedy.
    public var message: String

    init(_ message: String) { self.message = message }

    public var description: String { message }
}
