/// 128 bits that name a worker, a process, or a job.
public struct UniqueID: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A fresh name from the system's random numbers.
    public static func random() -> UniqueID {
        UniqueID(high: .random(in: 1...UInt64.max), low: .random(in: 0...UInt64.max))
    }

    /// No name at all.
    public static let none = UniqueID(high: 0, low: 0)

    /// Reads 32 lower-case hexadecimal digits.
    public init?(hex: String) {
        let digits = Array(hex.utf8)
        guard digits.count == 32 else { return nil }
        var words: [UInt64] = [0, 0]
        for (position, digit) in digits.enumerated() {
            let value: UInt64
            switch digit {
            case 0x30...0x39: value = UInt64(digit - 0x30)
            case 0x61...0x66: value = UInt64(digit - 0x61 + 10)
            default: return nil
            }
            words[position / 16] = words[position / 16] << 4 | value
        }
        self.init(high: words[0], low: words[1])
    }

    /// 32 lower-case hexadecimal digits.
    public var hex: String { UniqueID.hex(high) + UniqueID.hex(low) }

    private static func hex(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    public var description: String { hex }

    public static func < (left: UniqueID, right: UniqueID) -> Bool { (left.high, left.low) < (right.high, right.low) }
}
