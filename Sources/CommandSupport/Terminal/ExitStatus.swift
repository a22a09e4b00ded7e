/// The program's exit codes. Their numbers are those of sysexits.h if it has one; README.md lists them.
public enum ExitStatus: Int32, Sendable {
    case done = 0
    /// The job ran and failed.
    case jobFailed = 1
    /// A command line that cannot run.
    case usage = 64
    /// A damaged or unsupported checkpoint or picture.
    case badInput = 65
    /// A missing file or folder.
    case notFound = 66
    /// The coordinator cannot be reached, its port is in use, or a program of Patchloom is missing.
    case unavailable = 69
    /// A fault of this program.
    case internalFault = 70
    /// The output cannot be written.
    case cannotWrite = 73
    /// Try again later: no workers, coordinator busy.
    case temporary = 75
    /// The coordinator refused the join token.
    case refused = 77
    /// Versions or settings of two processes do not fit together.
    case configuration = 78
    case interrupted = 130
    case terminated = 143
}

/// A failure for the user: one sentence on standard error and an exit code.
public struct CommandFailure: Error, Sendable, CustomStringConvertible {
    public let status: ExitStatus
    public let message: String

    /// A failure from its exit code and sentence.
    public init(_ status: ExitStatus, _ message: String) {
        (self.status, self.message) = (status, message)
    }

    public var description: String { message }
}
