/// The share of the calls that belong to the structure phase, an exact decimal strictly between 0 and 1.
///
/// It is exact, because 90 · 0.7 is 62.99999999999999 in binary floating point. The phase would end a step early or, as in
/// the reference, never.
public struct StructureFraction: Sendable, Hashable, CustomStringConvertible {
    private static let scale = 1_000_000_000

    /// The fraction in units of 10⁻⁹.
    public let billionths: Int

    /// 0.5, as in the CutDiffusion reference.
    public static let half = StructureFraction(unchecked: scale / 2)

    private init(unchecked billionths: Int) { self.billionths = billionths }

    /// A fraction from units of 10⁻⁹; nil unless it is strictly between 0 and 1.
    public init?(billionths: Int) {
        guard billionths > 0, billionths < Self.scale else { return nil }
        self.billionths = billionths
    }

    /// A fraction from decimal text like `0.4`. nil unless it has only digits, up to nine of them after the point, and is
    /// strictly between 0 and 1.
    public init?(_ text: some StringProtocol) {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count <= 1, parts[0].allSatisfy({ $0 == UInt8(ascii: "0") }) else { return nil }
        guard (1...9).contains(parts[1].count) else { return nil }
        var value = 0
        for digit in parts[1] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value * 10 + Int(digit - UInt8(ascii: "0"))
        }
        for _ in parts[1].count..<9 { value *= 10 }
        self.init(billionths: value)
    }

    /// The shortest decimal text, `0.5`.
    public var description: String {
        var digits = String(billionths)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        return "0." + digits
    }

    /// `⌈calls · fraction⌉`, in exact arithmetic. `calls` is at most 10⁹.
    public func structureCalls(of calls: Int) -> Int {
        precondition((0...Self.scale).contains(calls))
        return (calls * billionths + Self.scale - 1) / Self.scale
    }
}
