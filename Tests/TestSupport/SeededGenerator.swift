/// Random numbers that are the same in every run: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators", 2014).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) { state = seed }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Damages bytes the way bad disks, bad networks and bad people do.
public enum Mutation {
    /// One to four random edits: flipped bits, overwritten, inserted, removed and repeated bytes, cut ends, changed digits.
    public static func mutate(_ original: [UInt8], using generator: inout SeededGenerator) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &generator) {
            guard !bytes.isEmpty else { return bytes }
            let position = Int.random(in: 0..<bytes.count, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
            case 2: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: position)
            case 3: bytes.remove(at: position)
            case 4: bytes.removeLast(Int.random(in: 0...min(bytes.count, 40), using: &generator))
            case 5:
                let length = min(bytes.count - position, Int.random(in: 1...12, using: &generator))
                bytes.insert(contentsOf: bytes[position..<(position + length)], at: position)
            default: mutateDigits(&bytes, from: position, using: &generator)
            }
        }
        return bytes
    }

    /// Changes the first digit at or after `position`: another digit, a very long number, a sign, a fraction.
    private static func mutateDigits(_ bytes: inout [UInt8], from position: Int, using generator: inout SeededGenerator) {
        guard let digit = bytes[position...].firstIndex(where: { (0x30...0x39).contains($0) }) else { return }
        let replacements = [
            "0", "1", "7", "9", "-1", "18446744073709551616", "9223372036854775807", "4294967296", "1.5", "1e3", "",
        ]
        let text = replacements.randomElement(using: &generator) ?? "0"
        bytes.replaceSubrange(digit...digit, with: Array(text.utf8))
    }
}

/// `count` bytes that look random. Tests are not optimised, and would need seconds to make megabytes themselves.
public func randomBytes(seed: UInt64, count: Int) -> [UInt8] {
    var numbers = SeededGenerator(seed: seed)
    return (0...count / 8).map { _ in numbers.next() }.withUnsafeBytes { Array($0.prefix(count)) }
}
