/// Why a run cannot start from a picture as asked.
public struct ConditioningError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence naming what does not fit and the remedy.
    public var message: String

    /// An error from its sentence.
    public init(_ message: String) { self.message = message }

    public var description: String { message }
}
