import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// Matching, gathering and averaging of tokens.
@Suite struct TokenOperationTests {
    private func tokens(_ batch: Int, _ n: Int, _ c: Int, seed: UInt64) -> Tensor {
        var numbers = TestNumbers(seed: seed)
        return Tensor(numbers.floats(batch * n * c), shape: [batch, n, c])
    }

    private func split(_ n: Int) -> (sources: [Int32], destinations: [Int32]) {
        let all = (0..<n).map { Int32($0) }
        return (all.filter { $0 % 4 != 1 }, all.filter { $0 % 4 == 1 })
    }

    @Test(arguments: [1, 3, 8, 17, 40, 130, 320]) func matchesAreThoseOfThePlainVersion(c: Int) throws {
        for n in [2, 5, 33, 130, 300] {
            let x = tokens(2, n, c, seed: UInt64(n * c))
            let (sources, destinations) = split(n)
            for context in try KernelTests.contexts {
                let found = context.bestMatches(x, sources: sources, destinations: destinations)
                for image in 0..<2 {
                    var scores = [Float](repeating: 0, count: sources.count)
                    var best = [Int32](repeating: 0, count: sources.count)
                    let rows = x.floats.baseAddress! + image * n * c
                    ck_ref_match(rows, c, sources, sources.count, destinations, destinations.count, &scores, &best)
                    let range = (image * sources.count)..<((image + 1) * sources.count)
                    #expect(zip(found.scores[range], scores).allSatisfy { abs($0 - $1) < 2e-6 }, "\(context.numericsClass)")
                    // With one channel all cosines are 1 or −1, and rounding decides nothing.
                    let places = found.best[range]
                    for (index, place) in places.enumerated() where place != best[index] {
                        let reached = cosine(
                            rows + Int(sources[index]) * c, rows + Int(destinations[Int(place)]) * c, count: c)
                        #expect(abs(reached - Double(scores[index])) < 2e-6, "\(context.numericsClass) \(n)×\(c)")
                    }
                }
            }
        }
    }

    private func cosine(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, count: Int) -> Double {
        func product(_ p: UnsafePointer<Float>, _ q: UnsafePointer<Float>) -> Double {
            (0..<count).reduce(0) { $0 + Double(p[$1]) * Double(q[$1]) }
        }
        return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }

    @Test func ofEqualDestinationsTheFirstIsBest() throws {
        // 50 destinations, so that equal ones lie in several panels.
        let x = Tensor(repeating: 1, shape: [1, 200, 7])
        let (sources, destinations) = split(200)
        for context in try KernelTests.contexts {
            let found = context.bestMatches(x, sources: sources, destinations: destinations)
            #expect(found.best.allSatisfy { $0 == 0 } && Set(found.scores).count == 1, "\(context.numericsClass)")
        }
    }

    @Test func zerosAndHugeTokensGiveNumbers() throws {
        let x = tokens(1, 40, 9, seed: 2)
        for channel in 0..<9 {
            x.floats[3 * 9 + channel] = 0
            x.floats[5 * 9 + channel] = 0
            x.floats[7 * 9 + channel] *= 1e30
            x.floats[8 * 9 + channel] *= 1e-30
        }
        let (sources, destinations) = split(40)
        for context in try KernelTests.contexts {
            let found = context.bestMatches(x, sources: sources, destinations: destinations)
            #expect(found.scores.allSatisfy { $0.isFinite && $0 <= 1.00001 }, "\(context.numericsClass)")
            let zero = try #require(sources.firstIndex(of: 3))
            #expect(found.scores[zero] == 0 && found.best[zero] == 0)
            let huge = try #require(sources.firstIndex(of: 7))
            #expect(found.scores[huge] > 0)
        }
    }

    @Test func anyNumberOfThreadsAndSlicesGivesTheSameBits() throws {
        let x = tokens(3, 700, 24, seed: 4)
        let (sources, destinations) = split(700)
        let results = try [(1, 200_000_000_000), (2, 200_000_000_000), (3, 1)].map { threads, operations in
            let context = try ComputeContext(backend: .openblas, threads: threads)
            context.operationsPerSlice = operations
            var signs = 0
            context.whenAdvancing = { signs += 1 }
            let found = context.bestMatches(x, sources: sources, destinations: destinations)
            if operations == 1 { #expect(signs > 9, "a long matching shows that it moves") }
            return (found.scores.map(\.bitPattern), found.best)
        }
        for other in results.dropFirst() { #expect(other.0 == results[0].0 && other.1 == results[0].1) }
    }

    /// The cost of merging is counted: the products of all pairs, in each image.
    @Test func matchingIsCounted() throws {
        let context = try ComputeContext(backend: .openblas, threads: 1)
        _ = context.bestMatches(tokens(3, 20, 7, seed: 1), sources: [0, 1, 2, 3, 4], destinations: [10, 11])
        #expect(context.operations == 2 * 3 * 5 * 2 * 7)
    }

    @Test func gatheringAndAveragingGoByImage() throws {
        let context = try ComputeContext(backend: .openblas, threads: 2)
        let x = tokens(2, 5, 3, seed: 9)
        func row(_ tensor: Tensor, _ index: Int) -> [Float] { Array(tensor.array[(index * 3)..<(index * 3 + 3)]) }
        let shared = context.gatherTokens(x, [4, 0])
        #expect(shared.shape == [2, 2, 3] && row(shared, 0) == row(x, 4) && row(shared, 3) == row(x, 5))
        let own = context.gatherTokens(x, [4, 0, 1, 1], perImage: true)
        #expect(row(own, 1) == row(x, 0) && row(own, 2) == row(x, 6) && row(own, 3) == row(x, 6))
        let means = context.averageTokens(x, offsets: [0, 1, 4, 5, 7, 9, 10], members: [2, 0, 1, 3, 4, 4, 3, 0, 1, 2])
        #expect(means.shape == [2, 3, 3] && row(means, 0) == row(x, 2) && row(means, 2) == row(x, 4))
        func mean(_ rows: [Int]) -> [Float] {
            (0..<3).map { column in
                let values = rows.map { row(x, $0)[column] }
                return values.reduce(0, +) / Float(rows.count)
            }
        }
        #expect(row(means, 1) == mean([0, 1, 3]))
        #expect(row(means, 3) == mean([9, 8]))
    }
}
