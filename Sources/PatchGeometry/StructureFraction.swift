/// The share of the calls that belong to the structure phase, an exact decimal strictly between 0 and 1.
///
/// It is exact, because 90 · 0.7 is 62.99999999999999 in binary floating point. The phase would end a step early or, as in
/// the reference, never.
public struct StructureFraction: Sendable, Hashable, CustomStringConvertible {
    private static let scale = 1_000_000_000

    /// The fraction in units of 10⁻⁹.
    public let billionths: Int

    /// 0.5, as in the CutDiffusion reference.
    public static let half = StructureFraction(billionths: scale / 2)

    private init(billionths: Int) { self.billionths = billionths }

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
        guard value > 0 else { return nil }
        self.init(billionths: value)
    }

    /// The shortest decimal text, `0.5`.
    public var description: String {
        var digits = String(billionths)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.hasSuffix("0") { digits.removeLast() }
        return "0." + digits
    }

    /// The number of calls in CutDiffusion's structure phase, Ts: `⌈calls · fraction⌉`, in exact arithmetic.
    ///
    /// The patches are relocated once, at the start of call Ts. This call and all later ones are the detail phase. The
    /// reference compares `i` with `N · p`, and breaks if that is no whole number. Rounding up is our extension; for whole
    /// numbers it agrees with the reference.
    ///
    /// - Parameters:
    ///   - calls: all calls of the run, N.
    ///   - mayRelocate: whether the phase may change before this call. Samplers with several calls a step forbid it inside a
    ///     step; then the structure phase goes on to the next possible place.
    /// - Throws: unless both phases get a call.
    public func structureCalls(
        of calls: Int, mayRelocate: (_ call: Int) -> Bool = { _ in true }
    ) throws(GeometryError) -> Int {
        guard (2...1_000_000).contains(calls) else {
            throw GeometryError("\(calls) calls cannot be split into a structure and a detail phase: take 2 or more steps.")
        }
        var structure = (calls * billionths + Self.scale - 1) / Self.scale
        while structure < calls, !mayRelocate(structure) { structure += 1 }
        guard structure < calls else {
            throw GeometryError(
                "A structure fraction of \(self) leaves no detail call of \(calls): take more steps or a smaller fraction.")
        }
        return structure
    }
}
