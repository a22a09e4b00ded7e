import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// Our own products of f32, by every kernel set of this CPU, against the plain loops.
@Suite struct GatheredProductTests {
    private func products(threads: Int, set: Int) throws -> GatheredProducts {
        let pool = ParallelPool(threads: threads)
        return GatheredProducts(
            pool: pool, kernels: try #require(ck_kernels_at(set)), scratch: ThreadScratch(threads: threads))
    }

    /// Besides the cases of both libraries: more channels than one block has, several taps in one block and several blocks of
    /// them, more rows than one strip has, and images smaller than a kernel.
    static let convolutions: [BackendTests.ConvolutionCase] =
        BackendTests.convolutions + [
            .init(n: 3, h: 5, w: 4, input: 643, output: 19),
            .init(h: 6, w: 7, input: 96, output: 35),
            .init(n: 2, h: 12, w: 21, input: 33, output: 16, stride: 2),
            .init(h: 2, w: 1, input: 321, output: 50, kernel: 1, padding: .none),
            .init(n: 2, h: 2, w: 3, input: 7, output: 40, kernel: 5, padding: Padding(2)),
            .init(h: 9, w: 9, input: 12, output: 3, dilation: 3, padding: Padding(3)),
        ]

    @Test(arguments: convolutions) func convolution(test: BackendTests.ConvolutionCase) throws {
        let shape = test.shape
        var numbers = TestNumbers(seed: UInt64(test.h + test.input))
        let x = Tensor(numbers.floats(test.n * test.h * test.w * test.input), shape: [test.n, test.h, test.w, test.input])
        let weight = Tensor(
            numbers.floats(test.output * test.input * test.kernel * test.kernel, scale: 0.1),
            shape: [test.output, test.input, test.kernel, test.kernel])
        let bias = Tensor(numbers.floats(test.output), shape: [test.output])
        let outShape = [test.n, shape.outHeight, shape.outWidth, test.output]
        let imageFloats = outShape.dropFirst().reduce(1, *)
        let residual = Tensor(numbers.floats(test.n * imageFloats), shape: outShape)
        let expected = Tensor(repeating: 0, shape: outShape)
        var geometry = shape.kernelShape
        for image in 0..<test.n {
            ck_ref_convolution(
                &geometry, x.floats.baseAddress! + image * test.h * test.w * test.input, weight.floats.baseAddress,
                bias.floats.baseAddress, expected.floats.baseAddress! + image * imageFloats)
        }
        let sum = zip(expected.array, residual.array).map { $0 + $1 }
        for set in ComputeContext.kernelSets.indices {
            let products = try products(threads: 2, set: set)
            let parameters = ConvolutionParameters(
                inChannels: test.input, outChannels: test.output, kernelHeight: test.kernel, kernelWidth: test.kernel,
                use: ConvolutionUse(), elementType: .f32, bias: bias, weights: try products.packed(weight))
            let y = Tensor(repeating: .nan, shape: outShape)
            try products.convolution(x, shape, parameters, residual: nil, into: y)
            let plain = Closeness(y.array, expected.array)
            #expect(plain.within(largest: 5e-5), "\(ComputeContext.kernelSets[set]): \(plain)")
            try products.convolution(x, shape, parameters, residual: residual, into: y)
            let added = Closeness(y.array, sum)
            #expect(added.within(largest: 5e-5), "\(ComputeContext.kernelSets[set]) with residual: \(added)")
        }
    }

    @Test(arguments: [(1, 8, 8), (77, 24, 72), (121, 17, 33), (250, 330, 48), (13, 1280, 320), (1, 1000, 5)])
    func linear(rows: Int, inputs: Int, outputs: Int) throws {
        var numbers = TestNumbers(seed: UInt64(rows + outputs))
        let x = Tensor(numbers.floats(rows * inputs), shape: [rows, inputs])
        let weight = Tensor(numbers.floats(outputs * inputs, scale: 0.1), shape: [outputs, inputs])
        let bias = Tensor(numbers.floats(outputs), shape: [outputs])
        let residual = Tensor(numbers.floats(rows * outputs), shape: [rows, outputs])
        for activation in [Activation.none, .silu, .gelu, .quickGELU] {
            var expected = [Float](repeating: 0, count: rows * outputs)
            ck_ref_linear(x.floats.baseAddress, rows, inputs, outputs, weight.floats.baseAddress, nil, &expected)
            ck_ref_epilogue(
                &expected, rows, outputs, bias.floats.baseAddress, activation.rawValue, residual.floats.baseAddress)
            for set in ComputeContext.kernelSets.indices {
                let products = try products(threads: 3, set: set)
                let parameters = LinearParameters(
                    inFeatures: inputs, outFeatures: outputs, elementType: .f32, bias: bias,
                    weights: try products.packed(weight))
                let y = Tensor(repeating: .nan, shape: [rows, outputs])
                try products.linear(x, parameters, activation: activation, residual: residual, into: y)
                let closeness = Closeness(y.array, expected)
                #expect(closeness.within(largest: 5e-5), "\(ComputeContext.kernelSets[set]) \(activation): \(closeness)")
            }
        }
    }

    @Test func aResultOfAnotherTypeIsRefused() throws {
        let products = try products(threads: 1, set: 0)
        let parameters = LinearParameters(
            inFeatures: 2, outFeatures: 2, elementType: .f32, bias: nil,
            weights: try products.packed(Tensor([1, 2, 3, 4], shape: [2, 2])))
        let error = #expect(throws: ComputeError.self) {
            try products.linear(
                Tensor([1, 2], shape: [1, 2]), parameters, activation: .none, residual: nil,
                into: ComputeContext(backend: .openblas, threads: 1).empty([1, 2], of: .bf16))
        }
        #expect(error?.message == "A product of f32 has no implementation for a result of bf16")
    }
}

/// The bits of f32 products depend neither on threads nor on the images and rows beside them. This holds for the library where
/// its products are used, and for our own kernels. `deploy/variants.sh` runs this for older instruction sets too.
@Suite struct ProductBitsTests {
    enum Road: CaseIterable, Sendable {
        case backend, own

        func products(threads: Int) throws -> any MatrixProducts {
            switch self {
            case .backend:
                return try ComputeContext(backend: .onednn, threads: threads).backend.products(of: [.f32])
            case .own:
                return GatheredProducts(
                    pool: ParallelPool(threads: threads), kernels: ck_kernels_best(), scratch: ThreadScratch(threads: threads))
            }
        }
    }

    /// Rows, inputs, outputs: layers of SD 1.5, SDXL and the embedded model, and sizes that fit no vector.
    static let layers = [
        (1, 320, 1280), (1, 2816, 1280), (4, 128, 256), (16, 96, 96), (77, 24, 72), (77, 128, 512), (77, 768, 320),
        (64, 64, 512),
        (77, 2048, 640), (1000, 17, 33), (64, 1280, 1280), (64, 5120, 1280), (256, 640, 1280),
    ]

    /// Whether a group of the last images has the bytes that they have alone.
    private func areEqual(_ y: Tensor, _ alone: [Tensor]) -> Bool {
        let count = y.shape[0]
        return (0..<count).allSatisfy { y.image($0, equals: 0, of: alone[alone.count - count + $0]) }
    }

    @Test(arguments: Road.allCases, layers) func linear(road: Road, layer: (rows: Int, inputs: Int, outputs: Int)) throws {
        let (rows, inputs, outputs) = layer
        let weight = Tensor.repeatingNumbers(1, [outputs, inputs], scale: 1 / Float(inputs).squareRoot())
        let bias = Tensor.repeatingNumbers(2, [outputs])
        let (group, residuals) = (
            Tensor.repeatingNumbers(3, [8, rows, inputs]), Tensor.repeatingNumbers(4, [8, rows, outputs])
        )
        var alone: [Tensor] = []
        for threads in 1...5 {
            let products = try road.products(threads: threads)
            let parameters = LinearParameters(
                inFeatures: inputs, outFeatures: outputs, elementType: .f32, bias: bias, weights: try products.packed(weight))
            func run(_ first: Int, _ count: Int) throws -> Tensor {
                let y = Tensor(repeating: .nan, shape: [count, rows, outputs])
                try products.linear(
                    group.part(at: first * rows * inputs, shape: [count, rows, inputs]), parameters, activation: .silu,
                    residual: residuals.part(at: first * rows * outputs, shape: [count, rows, outputs]), into: y)
                return y
            }
            if alone.isEmpty { alone = try (0..<8).map { try run($0, 1) } }
            for count in [1, 2, 3, 4, 5, 8] {
                #expect(areEqual(try run(8 - count, count), alone), "\(threads) threads, \(count) images")
            }
        }
    }

    /// Height and width, inputs, outputs, kernel, stride.
    @Test(
        arguments: Road.allCases,
        [
            (16, 4, 64, 3, 1), (16, 64, 4, 3, 1), (8, 320, 320, 3, 1), (8, 1280, 320, 3, 1), (16, 320, 320, 3, 2),
            (4, 128, 96, 3, 1), (8, 128, 128, 3, 2), (8, 640, 320, 1, 1), (16, 128, 3, 3, 1), (5, 4, 4, 1, 1),
        ])
    func convolution(road: Road, test: (side: Int, inputs: Int, outputs: Int, kernel: Int, stride: Int)) throws {
        let (side, inputs, outputs) = (test.side, test.inputs, test.outputs)
        let weight = Tensor.repeatingNumbers(1, [outputs, inputs, test.kernel, test.kernel], scale: 0.02)
        let bias = Tensor.repeatingNumbers(2, [outputs])
        let group = Tensor.repeatingNumbers(3, [8, side, side, inputs])
        var shape = ConvolutionShape(
            n: 1, h: side, w: side, inChannels: inputs, outChannels: outputs, kernelHeight: test.kernel,
            kernelWidth: test.kernel, stride: test.stride, dilation: 1, padding: Padding(test.kernel / 2))
        let outShape = [shape.outHeight, shape.outWidth, outputs]
        let residuals = Tensor.repeatingNumbers(4, [8] + outShape)
        var alone: [Tensor] = []
        for threads in 1...5 {
            let products = try road.products(threads: threads)
            let parameters = ConvolutionParameters(
                inChannels: inputs, outChannels: outputs, kernelHeight: test.kernel, kernelWidth: test.kernel,
                use: ConvolutionUse(), elementType: .f32, bias: bias, weights: try products.packed(weight))
            func run(_ first: Int, _ count: Int) throws -> Tensor {
                shape.n = count
                let y = Tensor(repeating: .nan, shape: [count] + outShape)
                try products.convolution(
                    group.part(at: first * side * side * inputs, shape: [count, side, side, inputs]), shape, parameters,
                    residual: residuals.part(at: first * outShape.reduce(1, *), shape: [count] + outShape), into: y)
                return y
            }
            if alone.isEmpty { alone = try (0..<8).map { try run($0, 1) } }
            for count in [1, 2, 3, 4, 5, 8] {
                #expect(areEqual(try run(8 - count, count), alone), "\(threads) threads, \(count) images")
            }
        }
    }
}

extension Tensor {
    /// Numbers that repeat after a prime number of elements: millions of draws would take minutes in a debug build.
    static func repeatingNumbers(_ seed: Int, _ shape: [Int], scale: Float = 1) -> Tensor {
        var generator = TestNumbers(seed: UInt64(seed))
        let block = generator.floats(8191, scale: scale)
        var values: [Float] = []
        while values.count < Tensor.elementCount(shape) { values += block }
        return Tensor(Array(values.prefix(Tensor.elementCount(shape))), shape: shape)
    }
}

extension MatrixProducts {
    /// Weights of (out, in) or (out, in, kernelHeight, kernelWidth), ready for a product.
    func packed(_ weight: Tensor) throws -> any PackedWeights {
        let shape = weight.shape
        let layer: WeightLayer =
            shape.count == 2
            ? .linear(inputs: shape[1], outputs: shape[0])
            : .convolution(
                inputs: shape[1], outputs: shape[0], kernelHeight: shape[2], kernelWidth: shape[3], use: ConvolutionUse())
        let format = try format(of: layer, type: weight.elementType)
        return adopt(try pack(weight, into: format), format)
    }
}
