import Acceleration
import Foundation
import TestSupport
import Testing

/// Token merging for vision transformers: the vectors G16 to G18 of the specification.
@Suite struct VisionTokenTests {
    @Test func schedulesAreCutOffLikeTheReferences() {
        func linear(_ mean: Int, _ inflection: Double, _ layers: Int) -> [Int] {
            VisionMergeCounts.linear(mean: mean, inflection: inflection, layers: layers)
        }
        #expect(linear(8, -1, 12) == [16, 14, 13, 11, 10, 8, 7, 5, 4, 2, 1, 0])
        #expect(linear(8, -1, 24).reduce(0, +) == 181)
        #expect(linear(16, -0.3, 12) == [20, 19, 18, 17, 17, 16, 15, 14, 14, 13, 12, 12])
        #expect(linear(8, 0, 12) == VisionMergeCounts.constant(8, layers: 12))
        #expect(linear(8, 1, 12).first == 0 && linear(8, 1, 12).last == 16 && linear(5, -1, 1) == [10])
        #expect(VisionMergeCounts.list([3, 1], layers: 4) == [3, 1, 0, 0])
        #expect(VisionMergeCounts.list([3, 1, 2], layers: 2) == [3, 1])
    }

    /// Tokens after each layer: at most half of the unprotected ones go.
    @Test func layersShrinkAsThePublishedTables() {
        func counts(_ tokens: Int, _ schedule: [Int]) -> [Int] {
            var tokens = tokens
            return schedule.map { count in
                let keys = SpecificationTokens.values(tokens: tokens, width: 2)
                let merging = VisionTokenMerging(
                    keys: keys, tokens: tokens, merging: count, protecting: .init(classToken: true))
                tokens = merging.groups.count
                return tokens
            }
        }
        #expect(counts(197, VisionMergeCounts.constant(8, layers: 12)).last == 101)
        #expect(
            counts(197, VisionMergeCounts.constant(16, layers: 12))
                == [181, 165, 149, 133, 117, 101, 85, 69, 53, 37, 21, 11])
        #expect(counts(50, VisionMergeCounts.constant(8, layers: 12)) == [42, 34, 26, 18, 10, 6, 4, 3, 2, 2, 2, 2])
        let decreasing = counts(257, VisionMergeCounts.linear(mean: 8, inflection: -1, layers: 24))
        #expect(decreasing.prefix(3) == [241, 226, 212] && decreasing.last == 76)
    }

    private static let x = SpecificationTokens.values(tokens: 10, width: 6)

    private func merging(_ count: Int, classToken: Bool = false, distill: Bool = false) -> VisionTokenMerging {
        VisionTokenMerging(
            keys: Self.x, tokens: 10, merging: count,
            protecting: .init(classToken: classToken, distillationToken: distill))
    }

    private func pairs(_ merging: VisionTokenMerging) -> [String] { merging.pairs.map { "\($0.source)>\($0.destination)" } }

    private func sizes(_ merging: VisionTokenMerging) -> [Int] { merging.groups.map(\.count) }

    @Test func evenTokensJoinOddOnes() {
        let three = merging(3)
        #expect(pairs(three) == ["8>1", "0>5", "4>5"])
        #expect(three.groups == [[2], [6], [1, 8], [3], [0, 4, 5], [7], [9]])
        let (values, sizes) = three.merge(Self.x, sizes: Array(repeating: 1, count: 10))
        #expect(sizes == [1, 1, 2, 1, 3, 1, 1])
        let first: [Float] = [0.495172, 0.420569, -0.360017, -0.177356, 0.158523, -0.284569, 0.3729]
        for (index, value) in first.enumerated() { #expect(abs(values[index * 6] - value) < 1e-5) }
        #expect(pairs(merging(9)) == ["8>1", "0>5", "4>5", "2>9", "6>1"])
        #expect(self.sizes(merging(9)) == [3, 1, 3, 1, 2])
        #expect(merging(0).groups == (0..<10).map { [$0] } && merging(0).pairs.isEmpty)
        #expect(merging(-2).groups == merging(0).groups && merging(-2).pairs.isEmpty)
    }

    @Test func classAndDistillationTokensStay() {
        let three = merging(3, classToken: true)
        #expect(pairs(three) == ["8>1", "4>5", "2>9"] && sizes(three) == [1, 1, 2, 1, 2, 1, 2] && three.groups[0] == [0])
        let four = merging(9, classToken: true)
        #expect(pairs(four) == ["8>1", "4>5", "2>9", "6>1"] && sizes(four) == [1, 3, 1, 2, 1, 2])
        let both = merging(3, classToken: true, distill: true)
        #expect(pairs(both) == ["4>5", "8>3", "2>9"])
        #expect(both.groups == [[0], [1], [6], [3, 8], [4, 5], [7], [2, 9]])
        #expect(pairs(merging(9, classToken: true, distill: true)) == ["4>5", "8>3", "2>9", "6>5"])
    }

    @Test func meansAreWeightedBySizes() {
        let first = merging(3, classToken: true).merge(Self.x, sizes: Array(repeating: 1, count: 10))
        let second = VisionTokenMerging(
            keys: first.values, tokens: 7, merging: 2, protecting: .init(classToken: true)
        ).merge(first.values, sizes: first.sizes)
        #expect(second.sizes == [1, 2, 3, 3, 1])
        let expected: [Float] = [0.42169, 0.026939, 0.429547, -0.29913, -0.284569]
        for (index, value) in expected.enumerated() { #expect(abs(second.values[index * 6] - value) < 1e-5) }
        let total = second.values.indices.reduce(0.0) { $0 + Double(second.values[$1] * second.sizes[$1 / 6]) }
        #expect(abs(total - 0.006716) < 1e-4)
        #expect(abs(Self.x.reduce(0.0) { $0 + Double($1) } - 0.006716) < 1e-4)
    }

    @Test func tokensOfZerosAreAtARightAngleToAll() {
        let keys = [Float](repeating: 0, count: 12)
        let merging = VisionTokenMerging(keys: keys, tokens: 6, merging: 2)
        #expect(pairs(merging) == ["0>1", "2>1"])
        #expect(merging.merge(keys, sizes: Array(repeating: 1, count: 6)).values.allSatisfy { $0 == 0 })
    }

    /// Every token stays or joins another. Tokens whose keys are no numbers are the last to join.
    @Test func noTokenIsLost() {
        for bad in [Float.nan, .infinity] {
            var keys = (0..<12).map { Float($0) }
            (keys[0], keys[7]) = (bad, bad)
            for count in 0...3 {
                let merging = VisionTokenMerging(keys: keys, tokens: 6, merging: count)
                #expect(merging.groups.flatMap(\.self).sorted() == Array(0..<6) && merging.pairs.count == count)
                #expect(count == 3 || !merging.pairs.contains { $0.source == 0 })
            }
        }
    }

    /// A key that stands for several patches weighs as much as that many copies of it.
    @Test func proportionalAttentionCountsPatches() {
        let (queries, keys) = (SpecificationTokens.values(tokens: 4, width: 6), SpecificationTokens.values(tokens: 9, width: 6))
        let (k, v) = (Array(keys[..<30]), Array(keys[24...]))
        let sizes = [1, 2, 3, 1, 4]
        func repeated(_ rows: [Float]) -> [Float] {
            sizes.indices.flatMap { row in (0..<sizes[row]).flatMap { _ in rows[(row * 6)..<(row * 6 + 6)] } }
        }
        let weighted = ProportionalAttention.attend(
            queries: queries, keys: k, values: v, sizes: sizes.map { Float($0) }, scale: 3)
        let copied = ProportionalAttention.attend(
            queries: queries, keys: repeated(k), values: repeated(v), sizes: Array(repeating: 1, count: 11), scale: 3)
        let plain = ProportionalAttention.attend(
            queries: queries, keys: k, values: v, sizes: Array(repeating: 1, count: 5), scale: 3)
        #expect(zip(weighted, copied).allSatisfy { abs($0 - $1) < 1e-6 })
        #expect(zip(weighted, plain).contains { abs($0 - $1) > 1e-2 })
    }
}
