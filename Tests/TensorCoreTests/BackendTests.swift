import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// Both compute libraries against the plain loops, and each against itself with other thread counts.
@Suite struct BackendTests {
    static let backends = BackendChoice.libraries

    struct ConvolutionCase: CustomStringConvertible, Sendable {
        var n = 1
        var h: Int
        var w: Int
        var input: Int
        var output: Int
        var kernel = 3
        var stride = 1
        var dilation = 1
        var padding = Padding.same
        var description: String { "\(n)×\(h)×\(w) \(input)→\(output) k\(kernel) s\(stride) d\(dilation) \(padding)" }

        var shape: ConvolutionShape {
            ConvolutionShape(
                n: n, h: h, w: w, inChannels: input, outChannels: output, kernelHeight: kernel, kernelWidth: kernel,
                stride: stride, dilation: dilation, padding: padding)
        }
    }

    static let convolutions: [ConvolutionCase] = [
        .init(h: 5, w: 7, input: 4, output: 16),
        .init(n: 2, h: 16, w: 16, input: 64, output: 64),
        .init(h: 13, w: 9, input: 3, output: 5),
        .init(n: 2, h: 19, w: 13, input: 8, output: 8, stride: 2),
        .init(h: 19, w: 13, input: 3, output: 5, stride: 4, dilation: 2, padding: Padding(2)),
        .init(h: 8, w: 8, input: 16, output: 16, stride: 2, padding: Padding(top: 0, left: 0, bottom: 1, right: 1)),
        .init(n: 2, h: 6, w: 5, input: 24, output: 32, kernel: 1, padding: .none),
        .init(h: 1, w: 1, input: 8, output: 8),
        .init(h: 33, w: 40, input: 20, output: 12),
    ]

    @Test(arguments: backends, convolutions)
    func convolution(backend: BackendChoice, test: ConvolutionCase) throws {
        var numbers = TestNumbers(seed: UInt64(test.h * 100 + test.output))
        let x = Tensor(numbers.floats(test.n * test.h * test.w * test.input), shape: [test.n, test.h, test.w, test.input])
        let weight = numbers.floats(test.output * test.input * test.kernel * test.kernel, scale: 0.2)
        let bias = numbers.floats(test.output)
        let shape = test.shape
        let outFloats = shape.outHeight * shape.outWidth * test.output
        var expected = [Float](repeating: 0, count: test.n * outFloats)
        var geometry = shape.kernelShape
        for image in 0..<test.n {
            expected.withUnsafeMutableBufferPointer {
                ck_ref_convolution(
                    &geometry, x.floats.baseAddress! + image * test.h * test.w * test.input, weight, bias,
                    $0.baseAddress! + image * outFloats)
            }
        }
        let residual = numbers.floats(expected.count)
        var first: [Float]?
        for threads in [1, 2, 3] {
            let context = try ComputeContext(backend: backend, threads: threads)
            let parameters = try context.packConvolution(
                weight: Tensor(weight, shape: [test.output, test.input, test.kernel, test.kernel]),
                bias: Tensor(bias, shape: [test.output]))
            let plain = try context.convolution(
                x, parameters, stride: test.stride, padding: test.padding, dilation: test.dilation)
            #expect(plain.shape == [test.n, shape.outHeight, shape.outWidth, test.output])
            let closeness = Closeness(plain.array, expected)
            #expect(closeness.within(largest: 5e-5), "\(test): \(closeness)")
            let added = try context.convolution(
                x, parameters, stride: test.stride, padding: test.padding, dilation: test.dilation,
                residual: Tensor(residual, shape: plain.shape))
            let sum = Closeness(added.array, zip(expected, residual).map { $0 + $1 })
            #expect(sum.within(largest: 5e-5), "\(test) with residual: \(sum)")
            let bits = plain.array + added.array
            #expect(first == nil || first == bits, "\(test): \(threads) threads changed the result")
            first = bits
        }
    }

    @Test(arguments: backends, [(1, 8, 8), (77, 24, 72), (154, 128, 128), (300, 320, 320), (1000, 17, 33), (5, 1280, 320)])
    func linear(backend: BackendChoice, shape: (rows: Int, input: Int, output: Int)) throws {
        var numbers = TestNumbers(seed: UInt64(shape.rows + shape.output))
        let x = Tensor(numbers.floats(shape.rows * shape.input), shape: [shape.rows, shape.input])
        let weight = numbers.floats(shape.output * shape.input, scale: 0.1)
        let bias = numbers.floats(shape.output)
        let residual = Tensor(numbers.floats(shape.rows * shape.output), shape: [shape.rows, shape.output])
        for activation in [Activation.none, .silu, .gelu, .quickGELU] {
            var expected = [Float](repeating: 0, count: shape.rows * shape.output)
            ck_ref_linear(x.floats.baseAddress, shape.rows, shape.input, shape.output, weight, nil, &expected)
            ck_ref_epilogue(&expected, shape.rows, shape.output, bias, activation.rawValue, residual.floats.baseAddress)
            var first: [Float]?
            for threads in [1, 2, 3] {
                let context = try ComputeContext(backend: backend, threads: threads)
                let parameters = try context.packLinear(
                    weight: Tensor(weight, shape: [shape.output, shape.input]), bias: Tensor(bias, shape: [shape.output]))
                let y = try context.linear(x, parameters, activation: activation, residual: residual)
                let closeness = Closeness(y.array, expected)
                #expect(closeness.within(largest: 5e-5), "\(shape) \(activation): \(closeness)")
                #expect(first == nil || first == y.array, "\(shape): \(threads) threads changed the result")
                first = y.array
            }
        }
    }

    /// Operations that were given up are made again, and the results do not change.
    @Test func oneDNNKeepsABoundedNumberOfOperations() throws {
        let pool = ParallelPool(threads: 1)
        func backend(limit: Int) throws -> OneDNNBackend {
            try OneDNNBackend(
                pool: pool, kernels: ck_kernels_best(), scratch: ThreadScratch(threads: 1), operationLimit: limit)
        }
        let (few, many) = (try backend(limit: 4), try backend(limit: 100))
        var numbers = TestNumbers(seed: 11)
        let weight = Tensor(numbers.floats(24 * 40), shape: [24, 40])
        func parameters(_ backend: OneDNNBackend) throws -> LinearParameters {
            LinearParameters(
                inFeatures: 40, outFeatures: 24, elementType: .f32, bias: nil, weights: try backend.packed(weight))
        }
        let (first, second) = (try parameters(few), try parameters(many))
        let x = Tensor(numbers.floats(32 * 40), shape: [32, 40])
        for rows in [1, 2, 3, 4, 1, 5, 6, 1, 7, 8, 9, 1, 2, 32, 16, 3, 4, 5, 1] {
            let (y, expected) = (Tensor(uninitialized: [rows, 24]), Tensor(uninitialized: [rows, 24]))
            let input = x.part(at: 0, shape: [rows, 40])
            try few.linear(input, first, activation: .silu, residual: nil, into: y)
            try many.linear(input, second, activation: .silu, residual: nil, into: expected)
            #expect(y.array == expected.array, "\(rows) rows")
            #expect(few.operationCount <= 4)
        }
        #expect(many.operationCount > 4)
    }

    @Test(arguments: backends) func oneSetOfWeightsServesManyShapes(backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 2)
        var numbers = TestNumbers(seed: 9)
        let weight = numbers.floats(48 * 40)
        let parameters = try context.packLinear(weight: Tensor(weight, shape: [48, 40]), bias: nil)
        for rows in [1, 2, 3, 16, 17, 64, 511, 1, 16] {
            let x = Tensor(numbers.floats(rows * 40), shape: [rows, 40])
            var expected = [Float](repeating: 0, count: rows * 48)
            ck_ref_linear(x.floats.baseAddress, rows, 40, 48, weight, nil, &expected)
            let closeness = Closeness(try context.linear(x, parameters).array, expected)
            #expect(closeness.within(largest: 5e-5), "\(rows) rows: \(closeness)")
        }
    }

    @Test func kernelsDoNotDependOnThreads() throws {
        var results: [[Float]] = []
        for threads in [1, 2, 3, 5] {
            let context = try ComputeContext(backend: .openblas, threads: threads)
            var numbers = TestNumbers(seed: 77)
            let x = Tensor(numbers.floats(2 * 40 * 36 * 48), shape: [2, 40, 36, 48])
            let one = Tensor(numbers.floats(48), shape: [48])
            let tokens = x.reshaped([2, 1440, 48])
            var y = context.groupNorm(x, groups: 8, scale: one, offset: one, epsilon: 1e-5, silu: true)
            y = context.add(y, context.layerNorm(x, scale: one, offset: one, epsilon: 1e-5))
            let attended = context.attention(query: tokens, key: tokens, value: tokens, heads: 3)
            y = context.add(y, attended.reshaped(x.shape))
            results.append(context.resizeBicubic(y, height: 17, width: 50).array + context.geglu(y).array)
        }
        #expect(results.allSatisfy { $0 == results[0] })
    }

    @Test(arguments: backends, convolutions)
    func longConvolutionsAreCutIntoSlices(backend: BackendChoice, test: ConvolutionCase) throws {
        let context = try ComputeContext(backend: backend, threads: 2)
        var numbers = TestNumbers(seed: UInt64(test.h + test.w))
        let x = Tensor(numbers.floats(test.n * test.h * test.w * test.input), shape: [test.n, test.h, test.w, test.input])
        let weight = Tensor(
            numbers.floats(test.output * test.input * test.kernel * test.kernel, scale: 0.2),
            shape: [test.output, test.input, test.kernel, test.kernel])
        let parameters = try context.packConvolution(
            weight: weight, bias: Tensor(numbers.floats(test.output), shape: [test.output]))
        func run(_ residual: Tensor?) throws -> Tensor {
            try context.convolution(
                x, parameters, stride: test.stride, padding: test.padding, dilation: test.dilation, residual: residual)
        }
        let whole = try run(nil)
        let residual = Tensor(numbers.floats(whole.count), shape: whole.shape)
        let added = try run(residual)
        var signs = 0
        context.whenAdvancing = { signs += 1 }
        for rows in [1, 2, 5] {
            // As many operations as `rows` rows of the result take.
            context.operationsPerSlice = 2 * rows * whole.shape[2] * whole.shape[3] * test.input * test.kernel * test.kernel
            signs = 0
            let sliced = Closeness(try run(nil).array, whole.array)
            #expect(sliced.within(largest: 5e-5), "\(test) in slices of \(rows) rows: \(sliced)")
            let slicedSum = Closeness(try run(residual).array, added.array)
            #expect(slicedSum.within(largest: 5e-5), "\(test) with residual in slices of \(rows) rows: \(slicedSum)")
            if whole.shape[1] > rows { #expect(signs > 2) }
        }
    }

    @Test func longAttentionGivesSignsAndTheSameBits() throws {
        let context = try ComputeContext(backend: .openblas, threads: 2)
        var numbers = TestNumbers(seed: 4)
        let q = Tensor(numbers.floats(2 * 300 * 24), shape: [2, 300, 24])
        let whole = context.attention(query: q, key: q, value: q, heads: 3)
        var signs = 0
        context.whenAdvancing = { signs += 1 }
        context.operationsPerSlice = 1
        #expect(context.attention(query: q, key: q, value: q, heads: 3).array == whole.array)
        #expect(signs >= 6 * 5)
    }

    @Test(arguments: 0...3) func windowsComeBack(shift: Int) throws {
        let context = try ComputeContext(backend: .openblas, threads: 2)
        var numbers = TestNumbers(seed: 3)
        let (b, h, w, c) = (2, 6, 10, 5)
        let x = Tensor(numbers.floats(b * h * w * c), shape: [b, h, w, c])
        let windows = context.splitWindows(x, shiftRows: shift, shiftColumns: 2 * shift)
        #expect(windows.shape == [4 * b, h / 2 * (w / 2), c])
        // Spec 3.6: window (I, J), place (r, s) is element (I·h/2 + r + shift) mod h of the image before rolling.
        for (image, i, j, r, s) in [(0, 0, 0, 0, 0), (1, 1, 0, 2, 4), (0, 1, 1, 1, 3), (1, 0, 1, 0, 2)] {
            let token = ((image * 4 + i * 2 + j) * (h / 2) + r) * (w / 2) + s
            let pixel = (image * h + (i * h / 2 + r + shift) % h) * w + (j * w / 2 + s + 2 * shift) % w
            #expect(windows.floats[token * c + 1] == x.floats[pixel * c + 1])
        }
        let back = context.mergeWindows(windows, batch: b, height: h, width: w, shiftRows: shift, shiftColumns: 2 * shift)
        #expect(back.array == x.array)
    }

    @Test func wrongSettingsAreRefused() {
        #expect(throws: ComputeError.self) { try ComputeContext(threads: 0) }
        #expect(throws: ComputeError.self) { try ComputeContext(threads: 1_000_000) }
        #expect(throws: ComputeError.self) { try ComputeContext(threads: 1, kernelSet: "mmx") }
    }

    @Test func numericsClassNamesWhatCounts() throws {
        let context = try ComputeContext(backend: .onednn, threads: 1)
        #expect(["onednn2.", "onednn3."].contains { context.numericsClass.contains($0) }, "\(context.numericsClass)")
        #expect(context.backendName == "onednn")
        #expect(try ComputeContext(backend: .openblas, threads: 1).numericsClass.contains("openblas0."))
        #expect(try ComputeContext(threads: 4).numericsClass == ComputeContext(threads: 1).numericsClass)
    }

    @Test func planarOrderComesBack() {
        let values = (0..<(2 * 3 * 4 * 5)).map(Float.init)
        let tensor = Tensor(planar: values, n: 2, c: 3, h: 4, w: 5)
        #expect(tensor.shape == [2, 4, 5, 3])
        #expect(tensor.floats[1] == 20)
        #expect(tensor.planarArray == values)
    }

    @Test func memoryIsUsedAgain() throws {
        let context = try ComputeContext(backend: .openblas, threads: 1)
        let x = Tensor(repeating: 1, shape: [64, 64])
        for _ in 0..<100 { _ = context.silu(x) }
        #expect(context.peakActivationBytes <= 2 * 64 * 64 * 4)
    }
}
