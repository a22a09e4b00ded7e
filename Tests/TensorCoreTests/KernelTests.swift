import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// Every kernel of every instruction set that this CPU runs, against its plain version. Widths are chosen to meet whole
/// vectors, parts of one and several.
@Suite struct KernelTests {
    static let widths = [1, 3, 4, 8, 15, 16, 17, 40, 48, 80]

    static var contexts: [ComputeContext] {
        get throws { try ComputeContext.kernelSets.map { try ComputeContext(backend: .openblas, threads: 2, kernelSet: $0) } }
    }

    @Test func everySetIsListedOnce() {
        let sets = ComputeContext.kernelSets
        #expect(sets.first == "baseline")
        #expect(Set(sets).count == sets.count)
    }

    /// Tiles first, then dot products of bf16 where they are fast, then the longest vectors.
    @Test func aRuleChoosesTheBestSet() {
        let sets = ComputeContext.kernelSets
        let longestVectors = ["avx512", "avx2", "baseline"].first(where: sets.contains)
        let expected = sets.contains("amx_bf16") ? "amx_bf16" : ck_has_fast_bf16_dot() != 0 ? "avx512_bf16" : longestVectors
        #expect(String(cString: ck_kernels_best().pointee.name) == expected)
        #expect(sets.contains(String(cString: ck_kernels_best().pointee.name)))
    }

    @Test(arguments: [1, 4, 8, 13, 40, 64, 80, 160, 512])
    func attention(headWidth d: Int) throws {
        var numbers = TestNumbers(seed: UInt64(d))
        for (tq, tk, heads, causal) in [
            (1, 1, 1, false), (77, 77, 2, true), (130, 77, 2, false), (64, 200, 1, false), (67, 67, 3, true),
        ] {
            let q = Tensor(numbers.floats(2 * tq * heads * d), shape: [2, tq, heads * d])
            let k = Tensor(numbers.floats(2 * tk * heads * d), shape: [2, tk, heads * d])
            let v = Tensor(numbers.floats(2 * tk * heads * d), shape: [2, tk, heads * d])
            let expected = reference(q, k, v, heads: heads, causal: causal)
            for context in try Self.contexts {
                let y = context.attention(query: q, key: k, value: v, heads: heads, causal: causal)
                let closeness = Closeness(y.array, expected)
                #expect(closeness.within(largest: 2e-5), "\(context.numericsClass) \(tq)×\(tk): \(closeness)")
            }
        }
    }

    private func reference(_ q: Tensor, _ k: Tensor, _ v: Tensor, heads: Int, causal: Bool) -> [Float] {
        let (batch, tq, tk, width) = (q.shape[0], q.shape[1], k.shape[1], q.shape[2])
        let d = width / heads
        let y = Tensor(repeating: 0, shape: q.shape)
        var shape = ck_attention_shape(
            query_tokens: tq, key_tokens: tk, head_width: d, row_stride_query: width, row_stride_key: width,
            row_stride_out: width, scale: 1 / Float(d).squareRoot(), causal: causal ? 1 : 0)
        for index in 0..<(batch * heads) {
            let (qo, ko) = (index / heads * tq * width + index % heads * d, index / heads * tk * width + index % heads * d)
            ck_ref_attention(
                &shape, q.floats.baseAddress! + qo, k.floats.baseAddress! + ko, width, v.floats.baseAddress! + ko,
                y.floats.baseAddress! + qo)
        }
        return y.array
    }

    @Test func attentionWithLargeScoresStaysFinite() throws {
        var numbers = TestNumbers(seed: 5)
        let q = Tensor(numbers.floats(300 * 16, scale: 60), shape: [1, 300, 16])
        let k = Tensor(numbers.floats(300 * 16, scale: 60), shape: [1, 300, 16])
        let v = Tensor(numbers.floats(300 * 16), shape: [1, 300, 16])
        for context in try Self.contexts {
            #expect(context.isFinite(context.attention(query: q, key: k, value: v, heads: 1)))
        }
    }

    @Test(arguments: [(1, 4, 1, 1), (2, 6, 3, 35), (1, 32, 8, 300), (2, 48, 16, 64), (1, 320, 32, 100)])
    func groupNorm(n: Int, c: Int, groups: Int, pixels: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c))
        // A mean far from zero is where sums of squares go wrong.
        let x = Tensor(numbers.floats(n * pixels * c).map { $0 + 50 }, shape: [n, pixels, c])
        let scale = Tensor(numbers.floats(c), shape: [c])
        let offset = Tensor(numbers.floats(c), shape: [c])
        let addend = Tensor(numbers.floats(n * c), shape: [n, c])
        for silu in [false, true] {
            for extra in [nil, addend] {
                let expected = Tensor(repeating: 0, shape: x.shape)
                for image in 0..<n {
                    ck_ref_group_norm(
                        x.floats.baseAddress! + image * pixels * c, pixels, c, groups, scale.floats.baseAddress,
                        offset.floats.baseAddress, 1e-5, extra.map { UnsafePointer($0.floats.baseAddress! + image * c) },
                        silu ? 1 : 0, expected.floats.baseAddress! + image * pixels * c)
                }
                for context in try Self.contexts {
                    let y = context.groupNorm(
                        x, groups: groups, scale: scale, offset: offset, epsilon: 1e-5, silu: silu, addend: extra)
                    let closeness = Closeness(y.array, expected.array)
                    #expect(closeness.within(largest: 5e-5, nmse: 1e-9), "\(context.numericsClass): \(closeness)")
                }
            }
        }
    }

    @Test(arguments: widths) func layerNorm(c: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c) + 100)
        let x = Tensor(numbers.floats(9 * c, scale: 3).map { $0 + 7 }, shape: [9, c])
        let scale = Tensor(numbers.floats(c), shape: [c])
        let offset = Tensor(numbers.floats(c), shape: [c])
        let expected = Tensor(repeating: 0, shape: x.shape)
        // The norm of a row is the norm of one group over one pixel.
        for row in 0..<9 {
            ck_ref_group_norm(
                x.floats.baseAddress! + row * c, 1, c, 1, scale.floats.baseAddress, offset.floats.baseAddress, 1e-5, nil, 0,
                expected.floats.baseAddress! + row * c)
        }
        for context in try Self.contexts {
            let closeness = Closeness(context.layerNorm(x, scale: scale, offset: offset, epsilon: 1e-5).array, expected.array)
            #expect(closeness.within(largest: 2e-5), "\(context.numericsClass): \(closeness)")
        }
    }

    @Test(arguments: widths) func activations(c: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c) + 200)
        let x = Tensor(numbers.floats(11 * 2 * c, scale: 4), shape: [11, 2 * c])
        let gated = Tensor(repeating: 0, shape: [11, c])
        let silu = Tensor(x.array, shape: x.shape)
        ck_ref_geglu(x.floats.baseAddress, 11, c, gated.floats.baseAddress)
        ck_ref_epilogue(silu.floats.baseAddress, 11, 2 * c, nil, Activation.silu.rawValue, nil)
        for context in try Self.contexts {
            let gate = Closeness(context.geglu(x).array, gated.array)
            #expect(gate.within(largest: 1e-5, nmse: 1e-12), "\(context.numericsClass): \(gate)")
            let plain = Closeness(context.silu(x).array, silu.array)
            #expect(plain.within(largest: 2e-6, nmse: 1e-12), "\(context.numericsClass): \(plain)")
        }
    }

    @Test func extremeArguments() throws {
        let x = Tensor([-1e30, -200, -88, -0.0, 0, 88, 200, 1e30], shape: [8])
        for context in try Self.contexts {
            let y = context.silu(x).array
            #expect(y[0] == 0 && y[1] == 0 && abs(y[2]) < 1e-30, "\(context.numericsClass): \(y)")
            #expect(y[5] == 88 && y[6] == 200 && y[7] == 1e30, "\(context.numericsClass): \(y)")
        }
    }

    @Test(arguments: widths) func epilogue(c: Int) throws {
        var numbers = TestNumbers(seed: UInt64(c) + 300)
        let x = numbers.floats(5 * c, scale: 3)
        let bias = numbers.floats(c)
        let residual = numbers.floats(5 * c)
        for activation in Int32(0)...3 {
            var expected = x
            ck_ref_epilogue(&expected, 5, c, bias, activation, residual)
            var index = 0
            while let table = ck_kernels_at(index) {
                var y = x
                table.pointee.epilogue(&y, 5, c, bias, activation, residual)
                let closeness = Closeness(y, expected)
                #expect(closeness.within(largest: 3e-6, nmse: 1e-12), "\(String(cString: table.pointee.name)): \(closeness)")
                index += 1
            }
        }
    }

    @Test(arguments: [(3, 3, 1, 5, 5), (19, 13, 3, 8, 13), (4, 5, 17, 7, 10), (95, 35, 4, 48, 68), (1, 1, 2, 3, 3)])
    func resampling(h: Int, w: Int, c: Int, outH: Int, outW: Int) throws {
        var numbers = TestNumbers(seed: UInt64(h * w))
        let x = Tensor(numbers.floats(h * w * c), shape: [1, h, w, c])
        let bicubic = Tensor(repeating: 0, shape: [1, outH, outW, c])
        let nearest = Tensor(repeating: 0, shape: [1, outH, outW, c])
        let pooled = Tensor(repeating: 0, shape: [1, (h + 1) / 2, (w + 1) / 2, c])
        ck_ref_bicubic(x.floats.baseAddress, h, w, c, outH, outW, bicubic.floats.baseAddress)
        ck_ref_nearest(x.floats.baseAddress, h, w, c, outH, outW, nearest.floats.baseAddress)
        ck_ref_average_pool(x.floats.baseAddress, h, w, c, pooled.floats.baseAddress)
        for context in try Self.contexts {
            let closeness = Closeness(context.resizeBicubic(x, height: outH, width: outW).array, bicubic.array)
            #expect(closeness.within(largest: 2e-5), "\(context.numericsClass): \(closeness)")
            #expect(context.resizeNearest(x, height: outH, width: outW).array == nearest.array)
            #expect(Closeness(context.averagePool2x2(x).array, pooled.array).within(largest: 1e-6))
        }
    }

    /// The product that LoRA files add to weights, by every set, and the same bits by any number of threads.
    @Test(arguments: widths) func addedProducts(columns: Int) throws {
        var numbers = TestNumbers(seed: UInt64(columns))
        for (rows, inner) in [(1, 1), (4, 3), (7, 16), (70, 5), (33, 64)] {
            let a = Tensor(numbers.floats(rows * inner), shape: [rows, inner])
            let b = Tensor(numbers.floats(inner * columns), shape: [inner, columns])
            let start = numbers.floats(rows * columns)
            let expected = Tensor(start, shape: [rows, columns])
            ck_ref_add_product(
                a.floats.baseAddress, b.floats.baseAddress, rows, inner, columns, 0.3, expected.floats.baseAddress)
            for index in ComputeContext.kernelSets.indices {
                let y = Tensor(start, shape: [rows, columns])
                try #require(ck_kernels_at(index)).pointee.add_product(
                    a.floats.baseAddress, b.floats.baseAddress, rows, inner, columns, 0.3, y.floats.baseAddress)
                let closeness = Closeness(y.array, expected.array)
                #expect(closeness.within(largest: 1e-5), "\(ComputeContext.kernelSets[index]) \(rows)×\(inner): \(closeness)")
            }
            let results = [1, 2, 3].map { threads in
                let y = Tensor(start, shape: [rows, columns])
                y.addProduct(of: a, and: b, times: 0.3, threads: threads)
                return y.array
            }
            #expect(results.allSatisfy { $0 == results[0] } && results[0] != start)
            #expect(Closeness(results[0], expected.array).within(largest: 1e-5))
        }
    }

    @Test func nonFiniteValuesAreFound() throws {
        for context in try Self.contexts {
            for count in [1, 7, 16, 33, 100] {
                for bad in [Float.nan, .infinity, -.infinity] {
                    let x = Tensor(repeating: 1e38, shape: [count])
                    #expect(context.isFinite(x))
                    x.floats[count - 1] = bad
                    #expect(!context.isFinite(x), "\(bad) among \(count) numbers")
                }
            }
        }
    }
}
