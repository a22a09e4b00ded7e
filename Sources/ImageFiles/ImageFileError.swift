public import Sentences

/// Why a picture could not be read, or a file not be written.
public struct ImageFileError: SentenceError, Equatable {
    /// The kind of failure, for choosing an exit code.
    public enum Code: Sendable, Equatable {
        /// The caller's pixels, size or text do not fit the format.
        case invalidArgument
        /// The file is empty or not a whole picture of its format.
        case damaged
        /// The file has a format that Patchloom does not read, or is no picture.
        case unsupported
        /// The picture is larger than the limits allow.
        case tooLarge
        /// A file or folder to read does not exist.
        case notFound
        /// A file exists but cannot be read.
        case cannotRead
        /// The output cannot be written at the requested place.
        case cannotWrite
        /// The output exists and must not be replaced.
        case exists
    }

    public let code: Code
    /// Names the file and the remedy.
    public let sentence: Sentence
    /// The system's error number, if a system call failed.
    public let systemError: Int32?

    /// An error with a sentence that names settings.
    public init(_ code: Code, naming sentence: Sentence, systemError: Int32? = nil) {
        (self.code, self.sentence, self.systemError) = (code, sentence, systemError)
    }

    /// An error with a sentence that names no settings.
    public init(_ code: Code, _ text: String, systemError: Int32? = nil) {
        self.init(code, naming: Sentence(text), systemError: systemError)
    }
}
