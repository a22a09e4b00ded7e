/// Why a golden case did not pass.
public struct GoldenError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// The case cannot be read, or its numbers are not reached.
        case failed
        /// The case is of a kind, or asks for an option, that is known and not implemented.
        case unsupported
    }

    public var code: Code
    /// One sentence that names the file, tensor or option.
    public var message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    static func failed(_ message: String) -> GoldenError { GoldenError(.failed, message) }
    static func unsupported(_ message: String) -> GoldenError { GoldenError(.unsupported, message) }
}
