import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// Operations on bf16. Our own kernels compute in f32, so each result is the rounded result of the f32 operation on the same
/// numbers, bit by bit. With AVX-512 the activations, and attention's dot products and tiles, are only as exact as the type
/// needs. They and oneDNN's products are compared within the type's precision.
@Suite struct PrecisionTests {
    /// All kernel sets of this CPU, and the one for AMX on a model of its tiles.
    static var kernelSets: [String] {
        ComputeContext.kernelSets + (ck_kernels_of_tile_model().map { [String(cString: $0.pointee.name)] } ?? [])
    }

    static var contexts: [ComputeContext] {
        get throws { try kernelSets.map { try ComputeContext(backend: .openblas, threads: 2, kernelSet: $0) } }
    }

    /// Whether the set of a context multiplies bf16 in attention and rounds its weights to bf16.
    private func roundsWeights(_ context: ComputeContext) -> Bool {
        ["-avx512_bf16-", "-amx_bf16-", "-amx_bf16_model-"].contains { context.numericsClass.contains($0) }
    }

    private func hasAVX512(_ context: ComputeContext) -> Bool {
        !["-baseline-", "-avx2-"].contains { context.numericsClass.contains($0) }
    }

    /// Whether oneDNN multiplies bf16 on this CPU.
    static let hasProducts = BackendChoice.onednn.bf16 != .missing

    /// Numbers that bf16 holds exactly.
    private func rounded(_ values: [Float], _ shape: [Int]) throws -> (f32: Tensor, bf16: Tensor) {
        let context = try ComputeContext(backend: .openblas, threads: 1)
        let narrow = context.convertWeights(Tensor(values, shape: shape), to: .bf16)
        return (context.convertWeights(narrow, to: .f32), narrow)
    }

    private func round(_ x: Tensor, _ context: ComputeContext) -> [Float] {
        context.convert(context.convert(x, to: .bf16), to: .f32).array
    }

    @Test func conversionRoundsToNearestEven() throws {
        let cases: [(Float, UInt32)] = [
            (1, 0x3f80_0000), (1.001953125, 0x3f80_0000), (1.005859375, 0x3f81_0000), (1.01171875, 0x3f82_0000),
            (-1.01171875, 0xbf82_0000), (0, 0), (-0.0, 0x8000_0000), (.infinity, 0x7f80_0000),
            (.greatestFiniteMagnitude, 0x7f80_0000), (Float(bitPattern: 1), 0), (Float(bitPattern: 0x0001_8000), 0x0002_0000),
        ]
        let values = Tensor(cases.map(\.0) + [.nan], shape: [cases.count + 1])
        for context in try Self.contexts {
            let back = round(values, context)
            for (value, (given, expected)) in zip(back, cases) {
                #expect(value.bitPattern == expected, "\(given) in \(context.numericsClass)")
            }
            #expect(back[cases.count].isNaN)
        }
    }

    /// Widths that meet whole vectors and parts of one.
    @Test(arguments: [1, 7, 16, 33, 80]) func elementwiseOperations(c: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c))
        let x = try rounded(numbers.floats(2 * 6 * 5 * 2 * c, scale: 3), [2, 6, 5, 2 * c])
        let z = try rounded(numbers.floats(2 * 6 * 5 * 2 * c, scale: 3), [2, 6, 5, 2 * c])
        let (scale, offset) = (Tensor(numbers.floats(2 * c), shape: [2 * c]), Tensor(numbers.floats(2 * c), shape: [2 * c]))
        let addend = try rounded(numbers.floats(2 * 2 * c), [2, 2 * c])
        for context in try Self.contexts {
            func compare(_ name: String, _ operation: (Tensor, Tensor, Tensor) -> Tensor) {
                let result = operation(x.bf16, z.bf16, addend.bf16)
                #expect(result.elementType == .bf16)
                let expected = round(operation(x.f32, z.f32, addend.f32), context)
                #expect(context.convert(result, to: .f32).array == expected, "\(name) in \(context.numericsClass)")
            }
            compare("add") { x, z, _ in context.add(x, z) }
            compare("layerNorm") { x, _, _ in context.layerNorm(x, scale: scale, offset: offset, epsilon: 1e-5) }
            compare("groupNorm") { x, _, addend in
                context.groupNorm(x, groups: 2, scale: scale, offset: offset, epsilon: 1e-5, silu: false, addend: addend)
            }
            compare("concatenateChannels") { x, z, _ in context.concatenateChannels(x, z) }
            compare("resizeNearest") { x, _, _ in context.resizeNearest(x, height: 9, width: 11) }
            compare("resizeBicubic") { x, _, _ in context.resizeBicubic(x, height: 9, width: 11) }
            compare("averagePool2x2") { x, _, _ in context.averagePool2x2(x) }
            compare("windows") { x, _, _ in
                let even = context.resizeNearest(x, height: 6, width: 4)
                return context.mergeWindows(
                    context.splitWindows(even, shiftRows: 1, shiftColumns: 2), batch: 2, height: 6, width: 4, shiftRows: 2,
                    shiftColumns: 1)
            }
            #expect(context.isFinite(x.bf16))
        }
    }

    /// A result is off by the rounding to bf16, half a step, and by at most a fifth of that more.
    @Test(arguments: [1, 7, 16, 33, 80]) func activations(c: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c))
        let x = try rounded(numbers.floats(2 * 50 * 2 * c, scale: 3), [2, 50, 2 * c])
        let (scale, offset) = (Tensor(numbers.floats(2 * c), shape: [2 * c]), Tensor(numbers.floats(2 * c), shape: [2 * c]))
        for context in try Self.contexts {
            func compare(_ name: String, _ operation: (Tensor) -> Tensor) {
                let (result, exact) = (operation(x.bf16), operation(x.f32))
                #expect(result.elementType == .bf16)
                let values = context.convert(result, to: .f32).array
                if hasAVX512(context) {
                    let isClose = zip(values, exact.array).allSatisfy { abs($0 - $1) <= abs($1) * 0.6 / 128 + 1e-4 }
                    #expect(isClose, "\(name) in \(context.numericsClass): \(Closeness(values, exact.array))")
                } else {
                    #expect(values == round(exact, context), "\(name) in \(context.numericsClass)")
                }
            }
            compare("silu") { context.silu($0) }
            compare("geglu") { context.geglu($0) }
            compare("groupNorm with silu") {
                context.groupNorm($0, groups: 2, scale: scale, offset: offset, epsilon: 1e-5, silu: true)
            }
        }
    }

    @Test func extremeArgumentsOfActivations() throws {
        let gates: [Float] = [-1e30, -200, -89, -0.0, 0, 89, 200, 1e30, .nan]
        let x = try rounded(gates, [gates.count]).bf16
        let pairs = try rounded(gates.flatMap { [1, $0] }, [gates.count, 2]).bf16
        for context in try Self.contexts {
            for y in [context.silu(x), context.geglu(pairs)] {
                let y = context.convert(y, to: .f32).array
                #expect(y[0] == 0 && y[1] == 0 && abs(y[2]) < 1e-30, "\(context.numericsClass): \(y)")
                #expect(y[3] == 0 && y[4] == 0 && y[5] == 89 && y[6] == 200, "\(context.numericsClass): \(y)")
                #expect(abs(y[7] / 1e30 - 1) < 1e-2 && y[8].isNaN, "\(context.numericsClass): \(y)")
            }
        }
    }

    @Test func damagedNumbersAreNotFinite() throws {
        for value in [Float.nan, .infinity, -.infinity] {
            for place in [0, 15, 16, 36] {
                var values = [Float](repeating: 1, count: 37)
                values[place] = value
                let x = try rounded(values, [37]).bf16
                for context in try Self.contexts { #expect(!context.isFinite(x), "\(value) at \(place)") }
            }
        }
    }

    @Test func tokens() throws {
        var numbers = TestNumbers(seed: 3)
        let x = try rounded(numbers.floats(2 * 60 * 24), [2, 60, 24])
        let (sources, destinations) = ((0..<60).filter { $0 % 4 != 0 }.map(Int32.init), (0..<15).map { Int32($0 * 4) })
        let members = (0..<2).flatMap { _ in (0..<60).map(Int32.init) }
        let offsets = (0...40).map { Int32($0 * 3) }
        for context in try Self.contexts {
            let (found, expected) = (
                context.bestMatches(x.bf16, sources: sources, destinations: destinations),
                context.bestMatches(x.f32, sources: sources, destinations: destinations)
            )
            #expect(found.best == expected.best && found.scores == expected.scores)
            let means = context.averageTokens(x.bf16, offsets: offsets, members: members)
            let plain = context.averageTokens(x.f32, offsets: offsets, members: members)
            #expect(context.convert(means, to: .f32).array == round(plain, context))
            let some = context.gatherTokens(x.bf16, [5, 0, 59])
            #expect(context.convert(some, to: .f32).array == context.gatherTokens(x.f32, [5, 0, 59]).array)
        }
    }

    /// The sets with dot products and tiles round the softmax's weights to bf16; the others round only the result.
    @Test(arguments: [1, 4, 7, 31, 40, 64, 80, 160, 512]) func attention(headWidth d: Int) throws {
        var numbers = TestNumbers(seed: UInt64(d))
        for (tq, tk, heads, causal) in [
            (1, 1, 1, false), (77, 77, 2, true), (130, 77, 2, false), (64, 200, 1, false), (67, 67, 3, true), (33, 5, 2, true),
        ] {
            let q = try rounded(numbers.floats(2 * tq * heads * d, scale: 2), [2, tq, heads * d])
            let k = try rounded(numbers.floats(2 * tk * heads * d, scale: 2), [2, tk, heads * d])
            let v = try rounded(numbers.floats(2 * tk * heads * d), [2, tk, heads * d])
            for context in try Self.contexts {
                let y = context.attention(query: q.bf16, key: k.bf16, value: v.bf16, heads: heads, causal: causal)
                let expected = context.attention(query: q.f32, key: k.f32, value: v.f32, heads: heads, causal: causal)
                let result = context.convert(y, to: .f32).array
                if roundsWeights(context) {
                    // Values go up to 4, where half a step of bf16 is 0.008. The weights' rounding adds as much again: against
                    // double precision the kernel has a relative error of 2.4e-3, squared 6e-6 (bf16 alone 1.7e-3).
                    let closeness = Closeness(result, expected.array)
                    #expect(closeness.within(largest: 2e-2, nmse: 1e-5), "\(tq)×\(tk) \(causal): \(closeness)")
                } else {
                    #expect(result == round(expected, context), "\(context.numericsClass) \(tq)×\(tk) \(causal)")
                }
            }
        }
    }

    /// Scores that leave the range of exponents: the largest weight is 1, and the others vanish.
    @Test func attentionWithLargeScoresStaysFinite() throws {
        var numbers = TestNumbers(seed: 5)
        let q = try rounded(numbers.floats(300 * 16, scale: 60), [1, 300, 16])
        let k = try rounded(numbers.floats(300 * 16, scale: 60), [1, 300, 16])
        let v = try rounded(numbers.floats(300 * 16), [1, 300, 16])
        for context in try Self.contexts {
            let y = context.attention(query: q.bf16, key: k.bf16, value: v.bf16, heads: 1)
            let expected = context.attention(query: q.f32, key: k.f32, value: v.f32, heads: 1)
            #expect(context.isFinite(y))
            // The bounds of `attention` hold with scores of thousands too.
            let closeness = Closeness(context.convert(y, to: .f32).array, expected.array)
            #expect(closeness.within(largest: 2e-2, nmse: 1e-5), "\(context.numericsClass): \(closeness)")
        }
    }

    /// Against double precision, with a few keys that most of the weight falls on, and without: more than one strip of keys,
    /// and parts of one.
    @Test(arguments: [(40, 150), (64, 200), (80, 77), (160, 300), (24, 1000)])
    func attentionIsAsExactAsItsType(headWidth d: Int, keys: Int) throws {
        var numbers = TestNumbers(seed: UInt64(d + keys))
        for (queryScale, keyScale) in [(Float(1), Float(1)), (8, 4)] {
            let q = try rounded(numbers.floats(45 * d, scale: queryScale), [1, 45, d])
            let k = try rounded(numbers.floats(keys * d, scale: keyScale), [1, keys, d])
            let v = try rounded(numbers.floats(keys * d), [1, keys, d])
            let expected = Tensor(repeating: 0, shape: [1, 45, d])
            var shape = ck_attention_shape(
                query_tokens: 45, key_tokens: keys, head_width: d, row_stride_query: d, row_stride_key: d, row_stride_out: d,
                scale: 1 / Float(d).squareRoot(), causal: 0)
            ck_ref_attention(
                &shape, q.f32.floats.baseAddress, k.f32.floats.baseAddress, d, v.f32.floats.baseAddress,
                expected.floats.baseAddress)
            for context in try Self.contexts {
                let y = context.attention(query: q.bf16, key: k.bf16, value: v.bf16, heads: 1)
                let closeness = Closeness(context.convert(y, to: .f32).array, expected.array)
                #expect(closeness.within(largest: 2e-2, nmse: 1e-5), "\(context.numericsClass): \(closeness)")
            }
        }
    }

    /// The bits of an image's attention depend neither on the number of threads nor on the images beside it, nor on the way
    /// its queries are divided.
    @Test(arguments: [(40, 100, 77), (64, 96, 96), (160, 70, 130), (8, 33, 200)])
    func attentionBitsAreStable(headWidth d: Int, queries: Int, keys: Int) throws {
        var numbers = TestNumbers(seed: UInt64(d))
        let q = try rounded(numbers.floats(8 * queries * 2 * d, scale: 4), [8, queries, 2 * d]).bf16
        let k = try rounded(numbers.floats(8 * keys * 2 * d, scale: 2), [8, keys, 2 * d]).bf16
        let v = try rounded(numbers.floats(8 * keys * 2 * d), [8, keys, 2 * d]).bf16
        for set in Self.kernelSets {
            var whole: [Float] = []
            for threads in 1...5 {
                let context = try ComputeContext(backend: .openblas, threads: threads, kernelSet: set)
                if threads > 3 { context.operationsPerSlice = 1 }
                for images in [8, 1, 2, 3, 4, 5, 6, 7] {
                    let y = context.attention(
                        query: q.part(at: 0, shape: [images, queries, 2 * d]),
                        key: k.part(at: 0, shape: [images, keys, 2 * d]),
                        value: v.part(at: 0, shape: [images, keys, 2 * d]), heads: 2)
                    let result = context.convert(y, to: .f32).array
                    if whole.isEmpty { whole = result }
                    #expect(result == Array(whole.prefix(result.count)), "\(set), \(threads) threads, \(images) images")
                }
            }
        }
    }

    /// A NaN in a key reaches every query that sees it. One in a query reaches only that query's row.
    @Test func attentionKeepsNaN() throws {
        var numbers = TestNumbers(seed: 6)
        var (queries, keys) = (numbers.floats(70 * 40), numbers.floats(100 * 40))
        let q = try rounded(queries, [1, 70, 40])
        let (k, v) = (try rounded(keys, [1, 100, 40]), try rounded(numbers.floats(100 * 40), [1, 100, 40]))
        keys[50 * 40 + 3] = .nan
        queries[33 * 40 + 7] = .nan
        let (badQuery, badKey) = (try rounded(queries, [1, 70, 40]), try rounded(keys, [1, 100, 40]))
        func rows(_ context: ComputeContext, _ q: Tensor, _ k: Tensor, _ v: Tensor) -> [Bool] {
            let y = context.convert(context.attention(query: q, key: k, value: v, heads: 1), to: .f32).array
            return (0..<70).map { row in y[(row * 40)..<(row * 40 + 40)].contains { $0.isNaN } }
        }
        for context in try Self.contexts {
            let name = Comment(rawValue: context.numericsClass)
            #expect(rows(context, q.bf16, badKey.bf16, v.bf16).allSatisfy { $0 }, name)
            #expect(rows(context, q.f32, badKey.f32, v.f32).allSatisfy { $0 }, name)
            #expect(rows(context, badQuery.bf16, k.bf16, v.bf16) == (0..<70).map { $0 == 33 }, name)
            #expect(rows(context, badQuery.f32, k.f32, v.f32) == (0..<70).map { $0 == 33 }, name)
        }
    }
}

/// oneDNN's products in bf16.
@Suite(.enabled(if: PrecisionTests.hasProducts, "oneDNN multiplies no bf16 on this CPU")) struct PrecisionProductTests {
    /// Rows, inputs, outputs: both sides of the width at which a layer becomes a convolution.
    static let layers = [
        (1, 320, 1280), (1, 1280, 1280), (1, 2816, 1280), (5, 40, 24), (64, 320, 320), (77, 768, 320), (77, 1024, 640),
        (64, 1280, 1280), (64, 5120, 1280), (256, 2560, 640),
        (77, 2048, 640), (16, 5120, 1280),
    ]

    private func numbers(_ seed: Int, _ shape: [Int], scale: Float = 1) -> Tensor {
        .repeatingNumbers(seed, shape, scale: scale)
    }

    /// Whether a result in bf16 is the rounded f32 result.
    ///
    /// bf16 has eight significant bits, so rounding moves a number by at most 1/256 of it. The rounded sum is not exactly the
    /// f32 sum: its products were added in another order. That is the same 1e-4 that `convolution` allows between the two sums,
    /// and it alone counts where a sum is near zero.
    private func isRounded(_ result: Tensor, of expected: Tensor, _ context: ComputeContext) -> Bool {
        zip(context.convert(result, to: .f32).array, expected.array).allSatisfy { abs($0 - $1) <= abs($1) / 256 + 1e-4 }
    }

    /// The same product in f32 of the same rounded numbers differs by the rounding of the result alone.
    @Test(arguments: layers) func linear(rows: Int, inputs: Int, outputs: Int) throws {
        let context = try ComputeContext(backend: .onednn, threads: 2, precision: .bf16)
        let weight = context.convertWeights(numbers(1, [outputs, inputs], scale: 1 / Float(inputs).squareRoot()), to: .bf16)
        let bias = numbers(2, [outputs])
        let x = context.convert(numbers(3, [rows, inputs]), to: .bf16)
        let residual = context.convert(numbers(4, [rows, outputs]), to: .bf16)
        let wide = try context.packLinear(weight: context.convertWeights(weight, to: .f32), bias: bias)
        let narrow = try context.packLinear(weight: weight, bias: bias)
        for activation in [Activation.none, .silu, .gelu, .quickGELU] {
            for added in [nil, residual] {
                let expected = try context.linear(
                    context.convert(x, to: .f32), wide, activation: activation,
                    residual: added.map { context.convert($0, to: .f32) })
                let result = try context.linear(x, narrow, activation: activation, residual: added)
                #expect(result.elementType == .bf16)
                #expect(isRounded(result, of: expected, context), "\(activation), residual \(added != nil)")
            }
        }
    }

    /// Shapes of U-Nets beside the small ones: conv_in with four and nine channels, RAD's stride and dilation, conv_out.
    static let convolutions: [BackendTests.ConvolutionCase] =
        BackendTests.convolutions + [
            .init(h: 16, w: 12, input: 4, output: 320), .init(n: 2, h: 12, w: 16, input: 9, output: 320),
            .init(h: 20, w: 24, input: 64, output: 64, stride: 4, dilation: 2, padding: Padding(2)),
            .init(n: 2, h: 15, w: 17, input: 32, output: 48, stride: 4, dilation: 2, padding: Padding(2)),
            .init(h: 16, w: 12, input: 320, output: 4),
        ]

    @Test(arguments: convolutions) func convolution(test: BackendTests.ConvolutionCase) throws {
        let context = try ComputeContext(backend: .onednn, threads: 2, precision: .bf16)
        let shape = [test.output, test.input, test.kernel, test.kernel]
        let weight = context.convertWeights(numbers(1, shape, scale: 0.1), to: .bf16)
        let bias = numbers(2, [test.output])
        let x = context.convert(numbers(3, [test.n, test.h, test.w, test.input]), to: .bf16)
        let wide = try context.packConvolution(weight: context.convertWeights(weight, to: .f32), bias: bias)
        let narrow = try context.packConvolution(weight: weight, bias: bias)
        func run(_ x: Tensor, _ parameters: ConvolutionParameters, _ residual: Tensor?, _ type: ElementType?) throws -> Tensor {
            try context.convolution(
                x, parameters, stride: test.stride, padding: test.padding, dilation: test.dilation, residual: residual,
                as: type)
        }
        let plain = try run(context.convert(x, to: .f32), wide, nil, nil)
        let residual = context.convert(numbers(4, plain.shape), to: .bf16)
        let exact = try run(x, narrow, nil, .f32)
        #expect(exact.elementType == .f32)
        // The products are the same numbers; only the order of their f32 sums differs.
        #expect(Closeness(exact.array, plain.array).within(largest: 1e-4, nmse: 1e-9))
        // The residual lies in the result and the product is added to it in f32, so the sum is rounded once.
        let wideResidual = context.convert(residual, to: .f32)
        let sum = context.add(plain, wideResidual)
        let result = try run(x, narrow, residual, nil)
        #expect(result.elementType == .bf16 && isRounded(result, of: sum, context))
        #expect(context.convert(residual, to: .f32).array == wideResidual.array, "the residual was changed")
        let wideSum = try run(x, narrow, wideResidual, .f32)
        #expect(wideSum.elementType == .f32 && Closeness(wideSum.array, sum.array).within(largest: 1e-4, nmse: 1e-9))
    }

    /// The bits of a row depend neither on the number of threads nor on the rows beside it.
    @Test(arguments: layers) func linearBitsAreStable(rows: Int, inputs: Int, outputs: Int) throws {
        var first: Tensor?
        for threads in 1...5 {
            let context = try ComputeContext(backend: .onednn, threads: threads, precision: .bf16)
            let weight = context.convertWeights(
                numbers(1, [outputs, inputs], scale: 1 / Float(inputs).squareRoot()), to: .bf16)
            let parameters = try context.packLinear(weight: weight, bias: numbers(2, [outputs]))
            let group = context.convert(numbers(3, [8, rows, inputs]), to: .bf16)
            for images in [1, 2, 3, 4, 8] {
                let part = group.part(at: 0, shape: [images, rows, inputs])
                let result = try context.linear(part, parameters, activation: .silu)
                #expect(result.image(0, equals: 0, of: first ?? result), "\(threads) threads, \(images) images")
                first = first ?? result
            }
        }
    }

    /// A convolution on square maps.
    struct StableConvolution: Sendable {
        var side: Int
        var inputs: Int
        var outputs: Int
        var kernel = 3
        var stride = 1
        var dilation = 1
        /// Whether a residual is added.
        var adds = false
        var result = ElementType.bf16

        var padding: Padding { Padding(kernel / 2 * dilation) }
        var outSide: Int { (side + stride - 1) / stride }
    }

    static let stableConvolutions: [StableConvolution] = [
        .init(side: 16, inputs: 64, outputs: 128, adds: true), .init(side: 8, inputs: 320, outputs: 320, adds: true),
        .init(side: 8, inputs: 1280, outputs: 640), .init(side: 16, inputs: 320, outputs: 320, stride: 2),
        // conv_in of models for pictures and for inpainting, and conv_out, whose result is f32.
        .init(side: 32, inputs: 4, outputs: 320), .init(side: 32, inputs: 9, outputs: 320),
        .init(side: 32, inputs: 320, outputs: 4, result: .f32),
        // RAD, on even and on odd sides.
        .init(side: 32, inputs: 320, outputs: 320, stride: 4, dilation: 2),
        .init(side: 15, inputs: 64, outputs: 64, stride: 4, dilation: 2),
        // Projections and shortcuts.
        .init(side: 16, inputs: 640, outputs: 320, kernel: 1),
        .init(side: 8, inputs: 1280, outputs: 1280, kernel: 1, adds: true),
    ]

    @Test(arguments: stableConvolutions) func convolutionBitsAreStable(test: StableConvolution) throws {
        var first: Tensor?
        let (side, outSide) = (test.side, test.outSide)
        for threads in 1...5 {
            let context = try ComputeContext(backend: .onednn, threads: threads, precision: .bf16)
            let weight = context.convertWeights(
                numbers(1, [test.outputs, test.inputs, test.kernel, test.kernel], scale: 0.02), to: .bf16)
            let parameters = try context.packConvolution(weight: weight, bias: numbers(2, [test.outputs]))
            let group = context.convert(numbers(3, [8, side, side, test.inputs]), to: .bf16)
            let residuals = context.convert(numbers(4, [8, outSide, outSide, test.outputs]), to: test.result)
            for images in [1, 2, 3, 4, 8] {
                let part = group.part(at: 0, shape: [images, side, side, test.inputs])
                let added = test.adds ? residuals.part(at: 0, shape: [images, outSide, outSide, test.outputs]) : nil
                let result = try context.convolution(
                    part, parameters, stride: test.stride, padding: test.padding, dilation: test.dilation, residual: added,
                    as: test.result)
                #expect(result.shape == [images, outSide, outSide, test.outputs] && result.elementType == test.result)
                #expect(result.image(0, equals: 0, of: first ?? result), "\(threads) threads, \(images) images")
                first = first ?? result
            }
        }
    }
}

/// The precision of a context.
@Suite struct PrecisionChoiceTests {
    @Test func openBLASHasNoBF16() throws {
        #expect(try ComputeContext(backend: .openblas, threads: 1, precision: .auto).precision == .f32)
        let error = #expect(throws: ComputeError.self) {
            _ = try ComputeContext(backend: .openblas, threads: 1, precision: .bf16)
        }
        #expect(error?.message.hasPrefix("bf16 needs the backend onednn on a CPU with AVX-512") == true)
    }

    @Test func theNumericsClassNamesThePrecision() throws {
        for choice in [PrecisionChoice.f32, .auto] {
            let context = try ComputeContext(threads: 1, precision: choice)
            #expect(context.numericsClass.contains("-\(context.precision)-"))
        }
    }

    /// Instruction sets as oneDNN names them. The dot products of AVX512-BF16 are fast or slow by the CPU's maker.
    @Test func theInstructionSetDecides() {
        for tiles in ["avx512_core_amx", "avx512_core_amx_fp16", "avx512_core_amx_and_more"] {
            #expect(BF16Support(oneDNN: tiles) == .fast)
        }
        for emulated in ["avx512_core", "avx512_core_vnni"] { #expect(BF16Support(oneDNN: emulated) == .slow) }
        for dots in ["avx512_core_bf16", "avx512_core_fp16", "avx512_core_fp16_and_more"] {
            #expect(BF16Support(oneDNN: dots) == (ck_has_fast_bf16_dot() != 0 ? .fast : .slow))
        }
        for other in ["avx2", "avx2_vnni", "avx2_vnni_2", "sse41", "other", ""] {
            #expect(BF16Support(oneDNN: other) == .missing)
        }
    }
}
