/// Python's `random.Random(seed)` for integer seeds, bit for bit. The CutDiffusion reference draws its jitter from it.
public struct PythonRandom: Sendable, Equatable {
    private var twister: MersenneTwister

    /// A generator at the start of the stream of `seed`: its 32-bit words, lowest first, are the key.
    public init(seed: UInt64) {
        var key = [UInt32(truncatingIfNeeded: seed)]
        if seed >> 32 != 0 { key.append(UInt32(seed >> 32)) }
        twister = MersenneTwister(key: key)
    }

    /// `random.getrandbits(32)`.
    public mutating func nextWord() -> UInt32 { twister.nextWord() }

    /// `random.random()`: a uniform of 53 bits in `[0, 1)`.
    public mutating func uniform() -> Double {
        let high = Double(twister.nextWord() >> 5)
        let low = Double(twister.nextWord() >> 6)
        return (high * 67_108_864 + low) * 0x1p-53
    }

    /// `random.randint(range.lowerBound, range.upperBound)`. It draws words until one fits, so even a range of one value
    /// draws.
    ///
    /// The range must hold fewer than 2^32 values.
    public mutating func integer(in range: ClosedRange<Int>) -> Int {
        let count = range.upperBound - range.lowerBound + 1
        precondition(count <= 1 << 31)
        let bits = Int.bitWidth - count.leadingZeroBitCount
        while true {
            let candidate = Int(twister.nextWord() >> UInt32(32 - bits))
            if candidate < count { return range.lowerBound + candidate }
        }
    }
}
