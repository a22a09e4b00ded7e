/// Why a scheduler configuration or a sampling request is refused.
public struct SamplerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What kind of mistake it is.
    public enum Code: Sendable, Equatable {
        /// The configuration is not what diffusers writes: a missing or misshapen value.
        case badConfiguration
        /// A scheduler class or an option value that is not implemented.
        case unsupported
        /// The number of steps or eta does not fit the schedule.
        case badRequest
    }

    /// What kind of mistake it is.
    public var code: Code
    /// One sentence naming the option, its value and the remedy.
    public var message: String

    /// An error from its kind and sentence.
    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
