/// Limits for a JSON text. The reader refuses everything beyond before it takes memory.
public struct JSONLimits: Sendable, Equatable {
    /// The longest text in bytes.
    public var maxBytes: Int
    /// The deepest nesting of arrays and objects; `[]` has depth 1. At most 128, because the reader calls itself.
    public var maxDepth: Int
    /// The most values of any kind in the whole text, the outermost included.
    public var maxElements: Int
    /// The most memory in bytes for values held at once, by the reader's upper estimate. A value of a few bytes of text needs
    /// many times as much.
    public var maxMemory: Int
    /// Whether `-Infinity` is read, as the text "-Infinity". It is no JSON, but Python's writer emits it.
    public var readsNegativeInfinity = false

    public init(maxBytes: Int, maxDepth: Int, maxElements: Int, maxMemory: Int = .max) {
        precondition((0...128).contains(maxDepth), "the reader nests at most 128 deep")
        self.maxBytes = maxBytes
        self.maxDepth = maxDepth
        self.maxElements = maxElements
        self.maxMemory = maxMemory
    }

    /// Configuration files, vocabularies and shard indexes: 16 MiB, depth 32, a million values.
    public static let config = JSONLimits(maxBytes: 16 << 20, maxDepth: 32, maxElements: 1 << 20)
    /// Scheduler configurations: diffusers' DPM-Solvers write `"lambda_min_clipped": -Infinity` by default.
    public static let schedulerConfig = {
        var limits = JSONLimits.config
        limits.readsNegativeInfinity = true
        return limits
    }()
    /// Message heads: 64 KiB, depth 8.
    public static let wire = JSONLimits(maxBytes: 64 << 10, maxDepth: 8, maxElements: 8192)
    /// The head of a safetensors file: the 100,000,000 bytes that the format allows, depth 4, and 512 MiB of memory for each
    /// member, read one by one.
    public static let safetensorsHeader = JSONLimits(
        maxBytes: 100_000_000, maxDepth: 4, maxElements: .max, maxMemory: 512 << 20)
}

/// Why a JSON text was refused.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// A text exceeds a limit of `JSONLimits`; `tooLarge` is for bytes, in the text or in memory.
        case tooLarge, tooDeep, tooManyElements
        /// The text ends inside a value.
        case unexpectedEnd
        /// A byte in a wrong place.
        case unexpectedByte
        /// Something follows the value.
        case trailingBytes
        case duplicateKey
        case invalidUTF8
        /// A control character, an unknown escape or half a surrogate pair.
        case invalidString
        case invalidNumber
        /// `NaN`, `Infinity` or a number beyond the doubles.
        case notFinite
    }

    public var code: Code
    /// The offset in bytes from the start of the text.
    public var offset: Int
    /// The error, without the offset and a full stop.
    public var reason: String

    init(_ code: Code, at offset: Int, _ what: String) {
        self.code = code
        self.offset = offset
        reason = what
    }

    /// One sentence with the offset and the error.
    public var message: String { "JSON is refused at byte \(offset): \(reason)." }

    public var description: String { message }
}
