public import Sentences

extension SentenceError {
    /// The sentence as the command line prints it.
    public var message: String { sentence.spelled(\.option) }
}
