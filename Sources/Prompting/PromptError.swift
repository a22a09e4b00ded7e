/// A prompt that Patchloom cannot read as its author means it.
public struct PromptError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One sentence that shows the place and names the remedy.
    public let message: String
    public var description: String { message }

    init(_ message: String) { self.message = message }
}
