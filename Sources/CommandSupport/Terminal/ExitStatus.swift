/// What the program's exit code says. The numbers are those of sysexits.h where it has one; README.md lists them for users.
public enum ExitStatus: Int32, Sendable {
    case done = 0
    /// The job ran and failed.
    case jobFailed = 1
    /// A command line that cannot be run.
    case usage = 64
    /// A checkpoint or picture that is damaged or not supported.
    case badInput = 65
    /// A file or folder that is not there.
    case notFound = 66
    /// The coordinator cannot be reached, its port cannot be had, or another program of Patchloom is not there.
    case unavailable = 69
    /// A fault of this program.
    case internalFault = 70
    /// The output cannot be written.
    case cannotWrite = 73
    /// Try again later: no workers, coordinator busy.
    case temporary = 75
    /// The coordinator refused the join token.
    case refused = 77
    /// Versions or settings of two processes do not go together.
    case configuration = 78
    case interrupted = 130
    case terminated = 143
}

/// A failure as the user meets it: one sentence on standard error and an exit code.
public struct CommandFailure: Error, Sendable, CustomStringConvertible {
    public let status: ExitStatus
    public let message: String

    /// A failure from its exit code and sentence.
    public init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }

    public var description: String { message }
}
