import ContactSheets
import ImageFiles
import Rendering
import Requests
import Runtime
import Weights

// Which exit code each module's errors have.

extension CommandFailure {
    /// A sentence with its settings as options.
    init(_ error: RequestError) {
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

    init(_ error: ImageFileError) { self.init(RequestError(error)) }
    init(_ error: WeightsError) { self.init(RequestError(error)) }
    init(_ error: RenderError) { self.init(RequestError(error)) }

    init(_ error: ContactSheetError) {
        let status: ExitStatus =
            switch error.code {
            case .noFont: .notFound
            case .tooLarge: .usage
            }
        self.init(status, error.message)
    }

    /// `Runtime` numbers its errors as this program's exit codes.
    init(_ error: RuntimeError) {
        self.init(ExitStatus(rawValue: error.exitCode) ?? .internalFault, error.message)
    }
}

extension Setting {
    /// The option that gives it a value.
    var option: String {
        switch self {
        case .initImg: "-i"
        case .width: "-W"
        case .height: "-H"
        default: "--" + rawValue.split(separator: "_").joined(separator: "-")
        }
    }
}
