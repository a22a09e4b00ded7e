public import CommandSupport
public import ContactSheets

extension ContactSheetError: CommandError {
    public var failure: CommandFailure {
        switch self {
        case .noFont(let sentence): CommandFailure(.notFound, sentence)
        case .tooLarge(let sentence): CommandFailure(.usage, sentence)
        }
    }
}
