/// Why a contact sheet cannot be made: one sentence with the remedy.
public enum ContactSheetError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The system has no usable font.
    case noFont(String)
    /// There are more pictures than one sheet can show.
    case tooLarge(String)

    public var description: String {
        switch self {
        case .noFont(let sentence), .tooLarge(let sentence): sentence
        }
    }
}
