/// A prompt that Patchloom cannot read as its author means it.
public struct PromptError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// A weight that is no number or out of range.
        case badWeight
        /// Syntax of other programs that would be misread.
        case unsupported
        /// More chunks than a picture may have.
        case tooLong
    }

    public var code: Code
    /// One sentence that shows the place and names the remedy.
    public var message: String
    public var description: String { message }

    public init(_ code: Code, _ message: String) { (self.code, self.message) = (code, message) }
}
