/// The 32-bit Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998). PyTorch's CPU generator and Python's `random` both
/// build on it. They seed it differently and make different numbers of its words.
public struct MersenneTwister: Sendable, Equatable {
    private static let size = 624
    private static let middle = 397

    private var state: [UInt32]
    private var next: Int

    /// Seeds from one word, as the authors' `init_genrand` and PyTorch do.
    public init(word: UInt32) {
        state = [UInt32](repeating: 0, count: Self.size)
        state[0] = word
        for index in 1..<Self.size {
            let previous = state[index - 1]
            state[index] = 1_812_433_253 &* (previous ^ (previous >> 30)) &+ UInt32(index)
        }
        next = Self.size
    }

    /// Seeds from a key of one or more words, as the authors' `init_by_array` and Python do. An empty key counts as `[0]`.
    public init(key: [UInt32]) {
        self.init(word: 19_650_218)
        let key = key.isEmpty ? [0] : key
        var position = 1
        var taken = 0
        for _ in 0..<max(Self.size, key.count) {
            let previous = state[position - 1]
            let mixed = state[position] ^ ((previous ^ (previous >> 30)) &* 1_664_525)
            state[position] = mixed &+ key[taken] &+ UInt32(taken)
            taken = (taken + 1) % key.count
            advance(&position)
        }
        for _ in 0..<(Self.size - 1) {
            let previous = state[position - 1]
            let mixed = state[position] ^ ((previous ^ (previous >> 30)) &* 1_566_083_941)
            state[position] = mixed &- UInt32(position)
            advance(&position)
        }
        state[0] = 0x8000_0000
    }

    /// The next word of the stream.
    public mutating func nextWord() -> UInt32 {
        if next == Self.size { refill() }
        var word = state[next]
        next += 1
        word ^= word >> 11
        word ^= (word << 7) & 0x9D2C_5680
        word ^= (word << 15) & 0xEFC6_0000
        return word ^ (word >> 18)
    }

    /// Advances a position of the key schedule. Past the end it starts again behind a copy of the last word.
    private mutating func advance(_ position: inout Int) {
        position += 1
        if position == Self.size {
            state[0] = state[Self.size - 1]
            position = 1
        }
    }

    private mutating func refill() {
        for index in 0..<Self.size {
            let joined = (state[index] & 0x8000_0000) | (state[(index + 1) % Self.size] & 0x7FFF_FFFF)
            let twisted = (joined >> 1) ^ (joined & 1 == 0 ? 0 : 0x9908_B0DF)
            state[index] = state[(index + Self.middle) % Self.size] ^ twisted
        }
        next = 0
    }
}
