/// Why a message cannot be read or must not be sent.
public struct MessageError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Not exactly three frames.
        case frameCount
        /// Frame 0 is not a header of this protocol.
        case magic
        /// Another major version.
        case version
        /// A type this version does not know.
        case type
        /// A length field and its frame disagree, or a limit is passed.
        case length
        /// A CRC does not match its bytes.
        case checksum
        /// A reserved field is not zero, or a field is out of range.
        case field
        /// Frame 1 is not the metadata this type demands.
        case metadata
        /// A known shape with content that may be skipped: an unknown type flagged as ignorable.
        case ignorable
    }

    public let code: Code
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
