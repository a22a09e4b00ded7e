/// Why a scheduler configuration or a sampling request is refused.
public struct SamplerError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of mistake.
    public enum Code: Sendable, Equatable {
        /// A value of the configuration is missing or malformed. diffusers does not write it like this.
        case badConfiguration
        /// A scheduler class or an option value is not implemented.
        case unsupported
        /// The number of steps or eta does not fit the schedule.
        case badRequest
    }

    /// The kind of mistake.
    public var code: Code
    /// One sentence naming the option, its value and the remedy.
    public var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
