public import Sentences

extension SentenceError {
    /// As the command line says it.
    public var message: String { sentence.spelled(\.option) }
}
