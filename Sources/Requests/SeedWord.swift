import Sentences

/// A user's word for a seed: a whole number of 64 bits without sign, or any negative number for a random seed.
public enum SeedWord: Sendable, Equatable, CustomStringConvertible {
    case number(UInt64)
    /// Another seed for each request.
    case random

    /// - Throws: `invalid` for any other word. The sentence says what a seed is; the caller puts setting and value before it.
    public init(_ text: String) throws(RequestError) {
        if let number = UInt64(text) {
            self = .number(number)
            return
        }
        // A negative number may have any number of digits. Minus zero is zero.
        let digits = text.dropFirst()
        guard text.hasPrefix("-"), !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw .invalid("a seed is a whole number from \(UInt64.min) to \(UInt64.max), or a negative one for a random seed.")
        }
        self = digits.utf8.allSatisfy { $0 == UInt8(ascii: "0") } ? .number(0) : .random
    }

    /// A word with the same meaning.
    public var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .random: "-1"
        }
    }

    /// The number; for `.random` a new one at each call.
    public func drawn() -> UInt64 {
        switch self {
        case .number(let number): number
        // Other programs take seeds of 32 bits, and can use this number too.
        case .random: UInt64(UInt32.random(in: 0...UInt32.max))
        }
    }
}
