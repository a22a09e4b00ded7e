/// Why a contact sheet cannot be made.
public struct ContactSheetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of failure, for choosing an exit code.
    public enum Code: Sendable, Equatable {
        /// The system has no usable font.
        case noFont
        /// There are more pictures than one sheet can show.
        case tooLarge
    }

    public let code: Code
    /// One sentence with the remedy.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
