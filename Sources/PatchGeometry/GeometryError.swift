/// Why a size cannot be cut as asked.
public struct GeometryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence naming the number that does not fit and the remedy.
    public var message: String

    /// An error from its sentence.
    public init(_ message: String) { self.message = message }

    public var description: String { message }
}
