public import ImageFiles
public import Rendering
public import Sentences
public import Weights

/// Why a user's words make no request, or name no model or file.
public struct RequestError: SentenceError, Equatable {
    /// What kind of mistake it is. Each program has its own numbers for them: exit codes, HTTP statuses.
    public enum Category: Sendable, Equatable {
        /// The words have no meaning, or none together.
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

    /// What kind of mistake it is.
    public let category: Category
    /// What is wrong, and the remedy.
    public let sentence: Sentence

    /// An error from its kind and sentence.
    public init(_ category: Category, _ sentence: Sentence) {
        self.category = category
        self.sentence = sentence
    }
}

// Which category the errors of other modules have.

extension RequestError {
    /// The category of what `ImageFiles` throws.
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

    /// The category of what `Weights` throws.
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

    /// The category of what `Rendering` throws.
    public init(_ error: RenderError) {
        let category: Category =
            switch error.code {
            case .invalidRequest: .invalid
            case .notFound: .notFound
            case .badModel: .badInput
            case .malformed, .missingContext, .nonFinite, .compute: .failed
            }
        self.init(category, error.sentence)
    }
}
