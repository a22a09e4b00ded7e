/// 128 bits that name a worker, a process, or a job.
public struct UniqueID: Sendable, Hashable, CustomStringConvertible {
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
        guard hex.isHexadecimal(count: 32), let high = UInt64(hex.prefix(16), radix: 16),
            let low = UInt64(hex.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// 32 lower-case hexadecimal digits.
    public var hex: String { UniqueID.hex(high) + UniqueID.hex(low) }

    private static func hex(_ word: UInt64) -> String {
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    public var description: String { hex }
}
