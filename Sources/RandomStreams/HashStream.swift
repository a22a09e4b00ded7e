/// The purpose of a random value. Each purpose has its own values, so no draw depends on the order of others.
///
/// The raw values are part of the meaning of a seed: they never change, and no number is used twice.
public enum RandomPurpose: UInt64, Sendable, CaseIterable {
    /// Pixel interaction: the index is the position `(channel · height + row) · width + column` in a patch.
    case interaction = 1
    /// View jitter: the index is the view. The first draw is the column offset, the second the row offset.
    case jitter = 2
    /// Window shifts of HiDiffusion: the index is the window block in execution order.
    case windowShift = 3
    /// Destinations of merged tokens: the index is the cell, `(block · 2^20 + row) · 2^20 + column`, with the block in
    /// execution order and the cell's place on the canvas.
    case mergeDestination = 4
}

/// A counter-based random stream: its values depend on (seed, purpose, call, index, draw) and on nothing else.
///
/// It never changes, because old seeds must give old pictures. With `G = 0x9E3779B97F4A7C15` and SplitMix64's finaliser
/// `mix`:
///
///     h = 0;  for word in [seed, purpose, call, index] { h = mix(h + G + word) }
///     value(draw) = mix(h + (draw + 1) · G)          all modulo 2^64
///
/// where `mix(z)` is `z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27; z *= 0x94D049BB133111EB; z ^= z >> 31`
/// (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014, with Stafford's variant 13).
public struct HashStream: Sendable, Equatable {
    private static let golden: UInt64 = 0x9E37_79B9_7F4A_7C15
    private var state: UInt64

    /// The stream of one (seed, purpose, call, index), before its first draw.
    public init(seed: UInt64, purpose: RandomPurpose, call: Int, index: Int) {
        state = 0
        for word in [seed, purpose.rawValue, UInt64(bitPattern: Int64(call)), UInt64(bitPattern: Int64(index))] {
            state = Self.mix(state &+ Self.golden &+ word)
        }
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= Self.golden
        return Self.mix(state)
    }

    /// An integer in `0..<bound`: the high half of the product of 64 random bits and `bound` (a bias below `bound / 2^64`).
    public mutating func integer(below bound: Int) -> Int {
        precondition(bound > 0)
        return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
    }

    /// An integer in a closed range.
    public mutating func integer(in range: ClosedRange<Int>) -> Int {
        range.lowerBound + integer(below: range.upperBound - range.lowerBound + 1)
    }

    /// A permutation of `0..<count` by a Fisher-Yates shuffle from the front: `count - 1` draws.
    public mutating func permutation(count: Int) -> [Int] {
        var order = Array(0..<count)
        for index in 0..<max(0, count - 1) {
            order.swapAt(index, index + integer(below: count - index))
        }
        return order
    }

    private static func mix(_ word: UInt64) -> UInt64 {
        var z = word
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
