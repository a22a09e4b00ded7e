import CommandSupport
import ContactSheets

extension CommandFailure {
    init(_ error: ContactSheetError) {
        let status: ExitStatus =
            switch error.code {
            case .noFont: .notFound
            case .tooLarge: .usage
            }
        self.init(status, error.message)
    }
}
