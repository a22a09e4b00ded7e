/// A size that cannot be cut as requested.
public struct GeometryError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that names the number and the remedy.
    public var message: String

    init(_ message: String) { self.message = message }

    public var description: String { message }
}
