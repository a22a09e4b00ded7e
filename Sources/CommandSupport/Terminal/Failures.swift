public import ImageFiles
public import Rendering
public import Requests
public import Runtime
import Sentences
public import Weights

/// An error that ends a command with a sentence and an exit code. `Program.run` shows it.
public protocol CommandError: Error {
    var failure: CommandFailure { get }
}

extension CommandFailure: CommandError {
    public var failure: CommandFailure { self }
}

extension RequestError: CommandError {
    /// The sentence with its settings as options.
    public var failure: CommandFailure {
        let status: ExitStatus =
            switch category {
            case .invalid: .usage
            case .badInput: .badInput
            case .notFound: .notFound
            case .cannotWrite: .cannotWrite
            case .failed: .jobFailed
            case .fault: .internalFault
            }
        return CommandFailure(status, sentence.spelled(\.option))
    }
}

extension ImageFileError: CommandError {
    public var failure: CommandFailure { RequestError(self).failure }
}

extension WeightsError: CommandError {
    public var failure: CommandFailure { RequestError(self).failure }
}

extension RenderError: CommandError {
    public var failure: CommandFailure { RequestError(self).failure }
}

extension RuntimeError: CommandError {
    /// `Runtime` numbers its errors like this program's exit codes.
    public var failure: CommandFailure {
        CommandFailure(ExitStatus(rawValue: exitCode) ?? .internalFault, sentence.spelled(\.option))
    }
}
