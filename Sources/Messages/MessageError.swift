/// The reason why a message cannot be read or must not be sent.
public struct MessageError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// Not exactly three frames.
        case frameCount
        /// Frame 0 is not a header of this protocol.
        case magic
        /// Another major version.
        case version
        /// A type unknown to this version.
        case type
        /// A length field and its frame disagree, or exceed a limit.
        case length
        /// A CRC does not match its bytes.
        case checksum
        /// A reserved field is not zero, or a field is out of range.
        case field
        /// Frame 1 is not the metadata of this type.
        case metadata
        /// Content that may be skipped: an unknown type flagged as ignorable.
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
