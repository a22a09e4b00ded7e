import TestSupport
import Testing

@testable import TensorCore

/// Operations that end because nobody wants their result.
@Suite struct StoppingTests {
    private static func tensor(_ shape: [Int], seed: UInt64) -> Tensor {
        var numbers = TestNumbers(seed: seed)
        return Tensor(numbers.floats(Tensor.elementCount(shape)), shape: shape)
    }

    /// Runs `body` until the question number `limit`.
    ///
    /// - Returns: the number of questions, and whether the body threw.
    private func run(
        _ context: ComputeContext, until limit: Int, _ body: () throws(ComputeError) -> Void
    ) throws -> (asked: Int, threw: Bool) {
        var asked = 0
        context.isWanted = {
            asked += 1
            return asked < limit
        }
        defer { context.isWanted = nil }
        do throws(ComputeError) { try body() } catch {
            #expect(error.isStopped && context.isStopped)
            return (asked, true)
        }
        return (asked, false)
    }

    /// One row in a slice: a product of 8 rows asks before it begins, and before each row.
    @Test(arguments: BackendChoice.libraries) func longProductsStopBetweenSlices(_ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 1)
        context.operationsPerSlice = 1
        let x = Self.tensor([1, 8, 16], seed: 1)
        let weights = try context.packLinear(weight: Self.tensor([4, 16], seed: 2), bias: nil)
        func product() throws(ComputeError) { _ = try context.linear(x, weights) }
        #expect(try run(context, until: .max, product) == (9, false))
        for limit in 1...9 { #expect(try run(context, until: limit, product) == (limit, true)) }
        // Two rows of an image in a slice.
        let image = Self.tensor([1, 8, 8, 4], seed: 3)
        let kernel = try context.packConvolution(weight: Self.tensor([4, 4, 3, 3], seed: 4), bias: nil)
        func convolution() throws(ComputeError) { _ = try context.convolution(image, kernel, padding: Padding(1)) }
        #expect(try run(context, until: .max, convolution) == (5, false))
        for limit in 1...5 { #expect(try run(context, until: limit, convolution) == (limit, true)) }
    }

    /// Attention and the packing of its keys throw nothing: they leave out the rest, and the context says so.
    @Test func longAttentionLeavesOutTheRest() throws {
        let context = try ComputeContext(threads: 1)
        context.operationsPerSlice = 1
        let x = Self.tensor([1, 64, 16], seed: 5)
        func attention() throws(ComputeError) { _ = context.attention(query: x, key: x, value: x, heads: 2) }
        func matching() throws(ComputeError) {
            _ = context.bestMatches(
                Self.tensor([1, 600, 16], seed: 6), sources: Array(16..<600), destinations: Array(0..<16))
        }
        let weights = try context.packLinear(weight: Self.tensor([4, 16], seed: 2), bias: nil)
        for work in [attention, matching] {
            let whole = try run(context, until: .max, work).asked
            #expect(whole > 2)
            for limit in 1...whole {
                var asked = 0
                context.isWanted = {
                    asked += 1
                    return asked < limit
                }
                try work()
                #expect(context.isStopped && asked == limit, "\(limit) of \(whole)")
                #expect(throws: ComputeError.self) { _ = try context.linear(x, weights) }
                #expect(throws: ComputeError.self) { try context.checkIsWanted() }
                #expect(asked == limit, "it asks no more after the answer")
                context.isWanted = nil
                #expect(!context.isStopped, "the next task begins anew")
            }
        }
    }
}
