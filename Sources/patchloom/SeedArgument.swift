import ArgumentParser
import Rendering

/// The value of `--seed`: a whole number of 64 bits without sign, or anything negative for a random one.
enum SeedArgument: Equatable {
    case number(UInt64)
    case random

    /// - Throws: for anything else, what a seed is. The parser puts option and value before it.
    init(_ text: String) throws {
        if let number = UInt64(text) {
            self = .number(number)
            return
        }
        // However many digits a negative number has, it means the same. Minus zero is zero.
        let digits = text.dropFirst()
        guard text.hasPrefix("-"), !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw ValidationError(
                "a seed is a whole number from \(UInt64.min) to \(UInt64.max), or a negative one for a random seed.")
        }
        self = digits.utf8.allSatisfy { $0 == UInt8(ascii: "0") } ? .number(0) : .random
    }

    /// The number, for `.random` a new one at each call.
    func drawn() -> UInt64 {
        switch self {
        case .number(let number): number
        // 32 bits are what other programs take, so that the number can be used there too.
        case .random: UInt64(UInt32.random(in: 0...UInt32.max))
        }
    }
}
