import Sentences

/// A seed as users give it: a whole number of 64 bits without sign, or anything negative for a random one.
public enum SeedWord: Sendable, Equatable, CustomStringConvertible {
    /// This seed.
    case number(UInt64)
    /// Another seed for each request.
    case random

    /// - Throws: `invalid` for anything else, with what a seed is. The caller puts the setting and its value before it.
    public init(_ text: String) throws(RequestError) {
        if let number = UInt64(text) {
            self = .number(number)
            return
        }
        // However many digits a negative number has, it means the same. Minus zero is zero.
        let digits = text.dropFirst()
        guard text.hasPrefix("-"), !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw RequestError(
                .invalid,
                "a seed is a whole number from \(UInt64.min) to \(UInt64.max), or a negative one for a random seed.")
        }
        self = digits.utf8.allSatisfy { $0 == UInt8(ascii: "0") } ? .number(0) : .random
    }

    /// A text that is read as the same.
    public var description: String {
        switch self {
        case .number(let number): "\(number)"
        case .random: "-1"
        }
    }

    /// The number, for `.random` a new one at each call.
    public func drawn() -> UInt64 {
        switch self {
        case .number(let number): number
        // 32 bits are what other programs take, so that the number can be used there too.
        case .random: UInt64(UInt32.random(in: 0...UInt32.max))
        }
    }
}
