/// Why a golden case did not pass. The sentence names the file, tensor or option.
public enum GoldenError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The case cannot be read, or its numbers are not reached.
    case failed(String)
    /// The case is of a kind, or asks for an option, that is known and not implemented.
    case unsupported(String)

    public var description: String {
        switch self {
        case .failed(let sentence), .unsupported(let sentence): sentence
        }
    }
}
