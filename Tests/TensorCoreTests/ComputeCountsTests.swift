import TestSupport
import Testing

@testable import TensorCore

/// The counts that no machine changes, and the trace of operations.
@Suite struct ComputeCountsTests {
    static func ones(_ shape: [Int]) -> Tensor { Tensor(repeating: 1, shape: shape) }

    /// A few layers that need working memory and two forms of products.
    private struct Layers {
        let linear: LinearParameters
        let convolution: ConvolutionParameters

        init(_ context: ComputeContext) throws {
            linear = try context.packLinear(weight: ones([8, 8]), bias: ones([8]))
            convolution = try context.packConvolution(weight: ones([8, 8, 3, 3]), bias: nil)
        }

        func call(_ x: Tensor, _ context: ComputeContext) throws {
            let y = try context.convolution(x, convolution, residual: x)
            let tokens = try context.linear(y.reshaped([1, x.count / 8, 8]), linear, activation: .silu)
            _ = context.attention(query: tokens, key: tokens, value: tokens, heads: 2)
        }
    }

    @Test(arguments: BackendTests.backends)
    func aSecondCallOfTheSameShapesCostsArithmeticOnly(_ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 2)
        let layers = try Layers(context)
        let x = Self.ones([1, 4, 4, 8])
        let packed = context.counts
        #expect(packed.operations == 0 && packed.allocations == 0)
        try layers.call(x, context)
        let first = context.counts
        #expect(first.allocations > 0 && first.operations > 0)
        try layers.call(x, context)
        var expected = ComputeCounts()
        expected.operations = (first - packed).operations
        #expect(context.counts - first == expected)
    }

    /// Whether oneDNN computes the products of f32.
    private static func libraryMultiplies(_ context: ComputeContext) -> Bool {
        (context.backend as? OneDNNBackend)?.instructionSet.hasStableProducts == true
    }

    /// Another shape needs memory and, where oneDNN multiplies, operations of its own. A context that gave its memory back also
    /// needs memory again.
    @Test(arguments: BackendTests.backends)
    func anotherShapeCosts(_ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 2)
        let layers = try Layers(context)
        try layers.call(Self.ones([1, 4, 4, 8]), context)
        let before = context.counts
        try layers.call(Self.ones([1, 64, 48, 8]), context)
        let cost = context.counts - before
        #expect(cost.allocations > 0)
        #expect(cost.preparations == (Self.libraryMultiplies(context) ? 2 : 0))
        context.trimMemory()
        let trimmed = context.counts
        try layers.call(Self.ones([1, 64, 48, 8]), context)
        #expect((context.counts - trimmed).allocations > 0)
        #expect((context.counts - trimmed).preparations == 0)
    }

    /// oneDNN's operations take weights in an order of their own. The weights of each layer are brought into it once.
    @Test func weightsAreReorderedOnce() throws {
        try needs(BackendTests.backends.contains(.onednn), "oneDNN")
        let context = try ComputeContext(backend: .onednn, threads: 1)
        try needs(Self.libraryMultiplies(context), "AVX-512: without it our own kernels multiply")
        let layer = try context.packConvolution(weight: Self.ones([32, 32, 3, 3]), bias: nil)
        for expected in [1, 1, 1] {
            _ = try context.convolution(Self.ones([1, 8, 8, 32]), layer)
            #expect(context.counts.reorders == expected)
        }
    }

    @Test func theTraceHasShapesTypesAndOrder() throws {
        let context = try ComputeContext(threads: 1)
        let layers = try Layers(context)
        let x = Self.ones([2, 4, 4, 8])
        let traced = try context.tracing { () throws in
            try layers.call(x, context)
            _ = context.groupNorm(x, groups: 4, scale: Self.ones([8]), offset: Self.ones([8]), epsilon: 1e-5, silu: true)
            _ = context.layerNorm(x, scale: Self.ones([8]), offset: Self.ones([8]), epsilon: 1e-5)
            _ = context.geglu(x)
            _ = context.concatenateChannels(x, x)
            _ = context.resizeNearest(x, height: 8, width: 6)
            _ = context.convert(x, to: .bf16)
        }
        #expect(
            traced.map(\.kind) == [
                .convolution(
                    x: [2, 4, 4, 8], to: 8, kernel: [3, 3], stride: 1, dilation: 1, padding: .same, use: ConvolutionUse()),
                .linear(rows: 32, from: 8, to: 8, activation: .silu),
                .attention(query: [1, 32, 8], key: [1, 32, 8], heads: 2, causal: false),
                .groupNorm([2, 4, 4, 8], groups: 4, silu: true, hasAddend: false), .layerNorm([2, 4, 4, 8]),
                .geglu([2, 4, 4, 8]), .concatenation([2, 4, 4, 8], [2, 4, 4, 8]),
                .nearestResize([2, 4, 4, 8], height: 8, width: 6), .conversion([2, 4, 4, 8], to: .bf16),
            ])
        #expect(traced[0].hasResidual && !traced[0].hasBias && !traced[1].hasResidual && traced[1].hasBias)
        #expect(traced.allSatisfy { $0.elementType == .f32 })
        // Later calls are not recorded any more.
        _ = context.geglu(x)
        #expect(traced.count == 9)
    }

    @Test func aTraceEndsWithAnError() throws {
        struct Stop: Error {}
        let context = try ComputeContext(threads: 1)
        #expect(throws: Stop.self) { try context.tracing { () throws in throw Stop() } }
        #expect(context.trace == nil)
    }
}
