public import ImageFiles
public import Rendering
public import Sentences
import StrictJSON
public import Weights

/// A user's words make no request, or name no model or file.
public struct RequestError: SentenceError, Equatable {
    /// The kind of mistake. Each program has its own numbers for it: exit codes, HTTP statuses.
    public enum Category: Sendable, Equatable {
        /// The words have no meaning, or do not go together.
        case invalid
        /// A model, LoRA or picture is damaged or not supported.
        case badInput
        /// A file, folder or name is not there.
        case notFound
        /// A file cannot be written.
        case cannotWrite
        /// The rendering itself failed.
        case failed
        /// A fault of Patchloom.
        case fault
    }

    public let category: Category
    /// The sentence with the mistake and the remedy.
    public let sentence: Sentence

    /// The settings at fault.
    public private(set) var faults: [SettingFault] = []

    public init(_ category: Category, _ sentence: Sentence) { (self.category, self.sentence) = (category, sentence) }

    /// - Parameter settings: the settings at fault. A setting that the sentence names as the remedy is not at fault.
    static func invalid(_ sentence: Sentence, about settings: Setting...) -> RequestError {
        RequestError(.invalid, sentence).about(settings.map { SettingFault($0) })
    }

    /// The same error with these faults. An error that has faults already keeps its own.
    func about(_ faults: [SettingFault]) -> RequestError {
        var error = self
        if error.faults.isEmpty { error.faults = faults }
        return error
    }

    /// The same error with a fault of this setting and no other.
    func blaming(_ setting: Setting) -> RequestError {
        var error = self
        error.faults = [SettingFault(setting)]
        return error
    }

    /// The same error with a fault of this setting, which has this value. An error that has faults already keeps its own.
    func about(_ setting: Setting, _ value: String? = nil) -> RequestError {
        about([SettingFault(setting, value: value.map { .string($0) })])
    }
}

// The categories of other modules' errors.

extension RequestError {
    public init(_ error: ImageFileError) {
        let category: Category =
            switch error.code {
            case .notFound: .notFound
            case .damaged, .unsupported, .tooLarge, .cannotRead: .badInput
            case .cannotWrite, .exists: .cannotWrite
            case .invalidArgument: .fault
            }
        self.init(category, error.sentence)
    }

    public init(_ error: WeightsError) {
        let category: Category =
            switch error.code {
            case .notFound: .notFound
            case .badOption: .invalid
            case .unwritable: .cannotWrite
            default: .badInput
            }
        self.init(category, error.sentence)
    }

    public init(_ error: RenderError) {
        let category: Category =
            switch error.code {
            case .invalidRequest: .invalid
            case .notFound: .notFound
            case .badModel: .badInput
            case .storage: .cannotWrite
            case .malformed, .missingContext, .nonFinite, .compute, .stopped: .failed
            }
        self.init(category, error.sentence)
        faults = error.faults
    }
}
