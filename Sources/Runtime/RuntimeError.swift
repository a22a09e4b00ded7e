public import Sentences

/// Why a coordinator, a worker or a job failed.
public struct RuntimeError: SentenceError, Sendable, Equatable {
    public enum Code: Int32, Sendable, CaseIterable {
        /// The job ran and failed.
        case jobFailed = 1
        /// The request is wrong.
        case usage = 64
        /// A checkpoint or a picture cannot be used.
        case badInput = 65
        case notFound = 66
        /// No coordinator answers, or the address cannot be used.
        case unavailable = 69
        /// A fault of this program.
        case internalFault = 70
        /// A disk has no room.
        case cannotWrite = 73
        /// Trying again later may help: no workers, a full queue.
        case temporary = 75
        /// The coordinator refuses this peer.
        case refused = 77
        /// Versions or settings of two programs do not fit together.
        case configuration = 78
        /// The user stopped the job.
        case cancelled = 130
    }

    public let code: Code
    /// One sentence that names the thing and the remedy.
    public let sentence: Sentence

    public init(_ code: Code, _ sentence: Sentence) { (self.code, self.sentence) = (code, sentence) }

    /// The exit code of a program that ends because of this.
    public var exitCode: Int32 { code.rawValue }
}

extension SentenceError {
    /// The error for logs.
    var logged: String { sentence.logged }
}

extension Sentence {
    /// The sentence for logs, with options as on a command line.
    var logged: String { spelled(\.option) }
}
