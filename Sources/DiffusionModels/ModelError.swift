/// A model cannot be built or run as asked.
public struct ModelError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A configuration file lacks a key, or a key has a value of the wrong kind or out of range.
        case badConfiguration
        /// A configuration asks for something that is not implemented.
        case unsupported
        /// An input does not fit the model.
        case badInput
        /// A result holds NaN or infinity.
        case nonFinite
    }

    public var code: Code
    /// One sentence that names the thing and the remedy.
    public var message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }
}
