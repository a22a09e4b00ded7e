import TestSupport
import Testing

@testable import TensorCore

/// The counted arithmetic against counts by hand.
@Suite struct OperationCountTests {
    static func ones(_ shape: [Int]) -> Tensor {
        Tensor([Float](repeating: 1, count: shape.reduce(1, *)), shape: shape)
    }

    /// The operations that `body` adds to the count. They must not depend on the backend, the threads or the slices.
    static func operations(_ body: (ComputeContext) throws -> Void) throws -> UInt64 {
        var counts: Set<UInt64> = []
        for backend in BackendTests.backends {
            for threads in [1, 3] {
                // A small slice cuts the work into many parts, which must not be counted differently.
                for slice in [200_000_000_000, 1] {
                    let context = try ComputeContext(backend: backend, threads: threads)
                    context.operationsPerSlice = slice
                    #expect(context.operations == 0)
                    try body(context)
                    counts.insert(context.operations)
                }
            }
        }
        #expect(counts.count == 1, "the count depends on who computes: \(counts)")
        return counts.first ?? 0
    }

    @Test func aMatrixProduct() throws {
        // 2 · 7 rows of 5 numbers, each against 3 columns.
        let count = try Self.operations { context in
            let parameters = try context.packLinear(weight: Self.ones([3, 5]), bias: Self.ones([3]))
            _ = try context.linear(Self.ones([2, 7, 5]), parameters, activation: .gelu, residual: Self.ones([2, 7, 3]))
        }
        #expect(count == 2 * 14 * 5 * 3)
    }

    @Test func convolutions() throws {
        // Same size: 2 images of 4 × 6 points, 3 · 3 · 5 products for each of 8 channels.
        let same = try Self.operations { context in
            let parameters = try context.packConvolution(weight: Self.ones([8, 5, 3, 3]), bias: nil)
            _ = try context.convolution(Self.ones([2, 4, 6, 5]), parameters)
        }
        #expect(same == 2 * (2 * 4 * 6) * (3 * 3 * 5) * 8)
        // Stride 2 halves both sides.
        let halved = try Self.operations { context in
            let parameters = try context.packConvolution(weight: Self.ones([8, 5, 3, 3]), bias: nil)
            _ = try context.convolution(Self.ones([1, 4, 6, 5]), parameters, stride: 2)
        }
        #expect(halved == 2 * (2 * 3) * (3 * 3 * 5) * 8)
        // One by one is a product of pixels.
        let single = try Self.operations { context in
            let parameters = try context.packConvolution(weight: Self.ones([8, 5, 1, 1]), bias: nil)
            _ = try context.convolution(Self.ones([1, 4, 6, 5]), parameters, padding: .none)
        }
        #expect(single == 2 * (4 * 6) * 5 * 8)
    }

    @Test(arguments: [(4, 4, false, 16), (3, 5, false, 15), (4, 4, true, 10), (5, 3, true, 12), (3, 5, true, 6)])
    func attention(queries: Int, keys: Int, causal: Bool, pairs: Int) throws {
        // Each pair of each image: one product of 6 numbers for the score and one for the sum, whatever the number of heads.
        for heads in [1, 3] {
            let count = try Self.operations { context in
                _ = context.attention(
                    query: Self.ones([2, queries, 6]), key: Self.ones([2, keys, 6]), value: Self.ones([2, keys, 6]),
                    heads: heads,
                    causal: causal)
            }
            #expect(count == UInt64(2 * 2 * 2 * pairs * 6))
        }
    }

    @Test func matchingOfTokens() throws {
        // In each of 2 images, 3 sources are compared with 2 destinations of 6 numbers.
        let count = try Self.operations { context in
            _ = context.bestMatches(Self.ones([2, 5, 6]), sources: [0, 1, 2], destinations: [3, 4])
        }
        #expect(count == 2 * 2 * 3 * 2 * 6)
    }

    @Test func whatIsNoProductIsNotCounted() throws {
        let count = try Self.operations { context in
            let x = Self.ones([1, 4, 4, 8])
            _ = context.concatenateChannels(x, x)
        }
        #expect(count == 0)
    }

    @Test func thePeakOfActivationsCanBeForgotten() throws {
        let context = try ComputeContext(threads: 1)
        let kept = context.empty([1024])
        do { _ = context.empty([1 << 20]) }
        #expect(context.peakActivationBytes >= 4 << 20)
        context.forgetPeak()
        #expect(context.peakActivationBytes >= 4096 && context.peakActivationBytes < 8192)
        #expect(kept.count == 1024)
    }
}
