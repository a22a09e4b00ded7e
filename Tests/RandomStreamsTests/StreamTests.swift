import RandomStreams
import Testing

@Suite struct StreamTests {
    @Test func torchTruncatesSeedsTo32Bits() {
        var (short, long) = (TorchCPUGenerator(seed: 6), TorchCPUGenerator(seed: 6 + 1 << 32))
        #expect((0..<700).map { _ in short.nextWord() } == (0..<700).map { _ in long.nextWord() })
    }

    @Test func pythonUsesAllBitsOfTheSeed() {
        var (short, long) = (PythonRandom(seed: 6), PythonRandom(seed: 6 + 1 << 32))
        #expect(short.nextWord() != long.nextWord())
    }

    /// The authors' test vector: `init_by_array` of four words.
    @Test func mersenneTwisterFollowsItsAuthors() {
        var twister = MersenneTwister(key: [0x123, 0x234, 0x345, 0x456])
        #expect(
            (0..<5).map { _ in twister.nextWord() } == [1_067_595_299, 955_945_823, 477_289_528, 4_107_218_783, 4_228_976_476])
    }

    @Test func seedSixGivesTheDocumentedValues() {
        var generator = TorchCPUGenerator(seed: 6)
        #expect(
            (0..<4).map { _ in generator.permutation(count: 4) } == [
                [2, 1, 3, 0], [0, 2, 3, 1], [3, 1, 2, 0], [2, 3, 1, 0],
            ])
        var uniforms = TorchCPUGenerator(seed: 6)
        let drawn = (0..<4).map { _ in Double(uniforms.uniform()) }
        #expect(drawn == [0.5721975564956665, 0.5538755059242249, 0.986829936504364, 0.6080296039581299])
        var random = PythonRandom(seed: 6)
        #expect((0..<8).map { _ in random.integer(in: -16...16) } == [-11, 15, 0, -14, -16, -7, 14, 7])
    }

    /// `torch.randint(0, 2**28, (4,))` and below it, from PyTorch 2.13: from 2^28 on each takes two words.
    @Test func largeBoundsTakeTwoWords() {
        var words = TorchCPUGenerator(seed: 6)
        let raw = (0..<2).map { _ in UInt64(words.nextWord()) }
        var (small, large) = (TorchCPUGenerator(seed: 6), TorchCPUGenerator(seed: 6))
        #expect(small.integer(below: 1 << 27) == raw[0] % (1 << 27))
        #expect(large.integer(below: 1 << 28) == (raw[0] << 32 | raw[1]) % (1 << 28))
    }

    @Test func oneElementNeedsNoDraw() {
        var (drawn, fresh) = (TorchCPUGenerator(seed: 1), TorchCPUGenerator(seed: 1))
        #expect(drawn.permutation(count: 1) == [0] && drawn.permutation(count: 0) == [])
        #expect(drawn.normals(count: 0).isEmpty)
        #expect(drawn.nextWord() == fresh.nextWord())
    }

    @Test func normalsAreNormal() {
        var generator = TorchCPUGenerator(seed: 9)
        let values = generator.normals(count: 40_003).map(Double.init)
        let mean = values.reduce(0, +) / Double(values.count)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
        #expect(abs(mean) < 0.02 && abs(variance - 1) < 0.03)
    }
}

/// The hash stream's values are part of the meaning of a seed. They are written here and never change.
@Suite struct HashStreamTests {
    @Test func valuesNeverChange() {
        var first = HashStream(seed: 0, purpose: .interaction, call: 0, index: 0)
        #expect((0..<3).map { _ in first.next() } == HashStreamVectors.first)
        var second = HashStream(seed: 42, purpose: .jitter, call: 7, index: 3)
        #expect((0..<3).map { _ in second.next() } == HashStreamVectors.second)
        var third = HashStream(seed: .max, purpose: .windowShift, call: 499, index: 9)
        #expect((0..<3).map { _ in third.next() } == HashStreamVectors.third)
        var shuffled = HashStream(seed: 42, purpose: .interaction, call: 1, index: 5)
        #expect(shuffled.permutation(count: 9) == HashStreamVectors.permutation)
    }

    @Test func purposesKeepTheirNumbers() {
        #expect(RandomPurpose.interaction.rawValue == 1)
        #expect(RandomPurpose.jitter.rawValue == 2)
        #expect(RandomPurpose.windowShift.rawValue == 3)
        #expect(RandomPurpose.mergeDestination.rawValue == 4)
    }

    @Test func everyCoordinateMatters() {
        let streams = [
            HashStream(seed: 1, purpose: .jitter, call: 2, index: 3), HashStream(seed: 2, purpose: .jitter, call: 2, index: 3),
            HashStream(seed: 1, purpose: .interaction, call: 2, index: 3),
            HashStream(seed: 1, purpose: .jitter, call: 3, index: 2),
            HashStream(seed: 1, purpose: .jitter, call: 2, index: 4),
        ]
        let values = streams.map { stream in
            var stream = stream
            return stream.next()
        }
        #expect(Set(values).count == values.count)
    }

    @Test func rangesAreCoveredEvenly() {
        var counts = [Int](repeating: 0, count: 6)
        for index in 0..<6000 {
            var stream = HashStream(seed: 5, purpose: .jitter, call: 0, index: index)
            let value = stream.integer(in: -2...3)
            #expect((-2...3).contains(value))
            counts[value + 2] += 1
        }
        #expect(counts.allSatisfy { (850...1150).contains($0) }, "\(counts)")
    }

    @Test func permutationsAreAllPossible() {
        var seen: [[Int]: Int] = [:]
        for index in 0..<6000 {
            var stream = HashStream(seed: 8, purpose: .interaction, call: 0, index: index)
            seen[stream.permutation(count: 3), default: 0] += 1
        }
        #expect(seen.count == 6 && seen.values.allSatisfy { (850...1150).contains($0) }, "\(seen)")
    }
}
