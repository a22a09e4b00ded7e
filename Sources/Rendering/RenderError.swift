public import Sentences

/// A picture cannot be rendered as asked, or a task cannot be done.
public struct RenderError: SentenceError, Equatable {
    public enum Code: String, Sendable, CaseIterable {
        /// A setting is out of range, or the method cannot do it.
        case invalidRequest
        /// A file or folder of the model is not there.
        case notFound
        /// The model's files are damaged, do not fit each other, or are of a kind that is not supported.
        case badModel
        /// A task, an output or a context from the wire is damaged or incomplete.
        case malformed
        /// A worker got a task whose context it does not hold.
        case missingContext
        /// A result holds NaN or infinity.
        case nonFinite
        /// A compute library failed.
        case compute
        /// The work was stopped, because nobody wants its result any more.
        case stopped
        /// A disk has no room for data that are too large for memory.
        case storage
    }

    public var code: Code
    /// Names the thing and the remedy.
    public var sentence: Sentence
    /// The settings at fault. Empty for errors of files, tasks and machines.
    public private(set) var faults: [SettingFault] = []

    /// An error with a sentence that names settings.
    public init(_ code: Code, naming sentence: Sentence) { (self.code, self.sentence) = (code, sentence) }

    /// An error with a sentence that names no settings.
    public init(_ code: Code, _ text: String) { self.init(code, naming: Sentence(text)) }

    /// The same error with this fault. An error that has faults already keeps its own.
    func about(_ fault: SettingFault?) -> RenderError {
        var error = self
        if error.faults.isEmpty, let fault { error.faults = [fault] }
        return error
    }

    /// - Parameter fault: the setting, its refused value and the possible values.
    static func invalidRequest(_ sentence: Sentence, _ fault: SettingFault) -> RenderError {
        invalidRequest(sentence, aboutAll: []).about(fault)
    }

    /// - Parameters:
    ///   - setting: the setting at fault.
    ///   - others: more settings at fault. A setting that the sentence names as the remedy is not at fault.
    static func invalidRequest(_ sentence: Sentence, about setting: Setting, _ others: Setting...) -> RenderError {
        invalidRequest(sentence, aboutAll: [setting] + others)
    }

    /// - Parameter settings: the settings at fault; none if the request has a fault that belongs to no setting.
    static func invalidRequest(_ sentence: Sentence, aboutAll settings: [Setting]) -> RenderError {
        var error = RenderError(.invalidRequest, naming: sentence)
        error.faults = settings.map { SettingFault($0) }
        return error
    }
    static func badModel(_ sentence: Sentence) -> RenderError { RenderError(.badModel, naming: sentence) }
    static func malformed(_ sentence: Sentence) -> RenderError { RenderError(.malformed, naming: sentence) }
    static func nonFinite(_ sentence: Sentence) -> RenderError { RenderError(.nonFinite, naming: sentence) }
}
