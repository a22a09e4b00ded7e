import ContactSheets
import ImageFiles
import Rendering
import Runtime
import Weights

// Which exit code each module's errors have.

extension CommandFailure {
    init(_ error: ImageFileError) {
        let status: ExitStatus =
            switch error.code {
            case .notFound: .notFound
            case .damaged, .unsupported, .tooLarge, .cannotRead: .badInput
            case .cannotWrite, .exists: .cannotWrite
            case .invalidArgument: .internalFault
            }
        self.init(status, error.message)
    }

    init(_ error: ContactSheetError) {
        let status: ExitStatus =
            switch error.code {
            case .noFont: .notFound
            case .tooLarge: .usage
            }
        self.init(status, error.message)
    }

    init(_ error: WeightsError) {
        let status: ExitStatus =
            switch error.code {
            case .notFound: .notFound
            case .badOption: .usage
            case .unwritable: .cannotWrite
            default: .badInput
            }
        self.init(status, error.message)
    }

    init(_ error: RenderError) {
        let status: ExitStatus =
            switch error.code {
            case .invalidRequest: .usage
            case .notFound: .notFound
            case .badModel: .badInput
            case .malformed, .missingContext, .nonFinite, .compute: .jobFailed
            }
        self.init(status, error.message)
    }

    /// `Runtime` numbers its errors as this program's exit codes.
    init(_ error: RuntimeError) {
        self.init(ExitStatus(rawValue: error.exitCode) ?? .internalFault, error.message)
    }
}
