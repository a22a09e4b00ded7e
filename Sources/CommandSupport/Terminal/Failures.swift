public import ImageFiles
public import Rendering
public import Requests
public import Runtime
import Sentences
public import Weights

// The exit codes of each module's errors.

extension CommandFailure {
    /// A sentence with its settings as options.
    public init(_ error: RequestError) {
        let status: ExitStatus =
            switch error.category {
            case .invalid: .usage
            case .badInput: .badInput
            case .notFound: .notFound
            case .cannotWrite: .cannotWrite
            case .failed: .jobFailed
            case .fault: .internalFault
            }
        self.init(status, error.sentence.spelled(\.option))
    }

    /// The same as a `RequestError`.
    public init(_ error: ImageFileError) { self.init(RequestError(error)) }
    /// The same as a `RequestError`.
    public init(_ error: WeightsError) { self.init(RequestError(error)) }
    /// The same as a `RequestError`.
    public init(_ error: RenderError) { self.init(RequestError(error)) }

    /// `Runtime` numbers its errors like this program's exit codes.
    public init(_ error: RuntimeError) {
        self.init(ExitStatus(rawValue: error.exitCode) ?? .internalFault, error.message)
    }
}
