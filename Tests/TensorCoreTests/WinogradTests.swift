import CKernels
import TestSupport
import Testing

@testable import TensorCore

/// 3×3 convolutions by tiles of 2×2 results: against the sums themselves in f64, and their bits.
@Suite struct WinogradTests {
    typealias Case = BackendTests.ConvolutionCase

    /// Even and odd sizes, single rows and columns, channels that fill no vector, and padding on some sides.
    static let cases: [Case] = [
        .init(h: 8, w: 8, input: 16, output: 16),
        .init(n: 3, h: 7, w: 5, input: 19, output: 33),
        .init(h: 1, w: 1, input: 16, output: 24),
        .init(n: 2, h: 1, w: 9, input: 17, output: 16),
        .init(h: 12, w: 1, input: 31, output: 18),
        .init(n: 2, h: 3, w: 4, input: 20, output: 16, padding: .none),
        .init(h: 6, w: 7, input: 16, output: 21, padding: Padding(top: 1, left: 0, bottom: 0, right: 1)),
        .init(h: 5, w: 6, input: 16, output: 16, padding: Padding(top: 0, left: 2, bottom: 3, right: 0)),
        .init(h: 40, w: 37, input: 67, output: 18),
    ]

    /// The precisions whose convolutions are computed this way here.
    static let precisions: [PrecisionChoice] = [.f32, .bf16].filter { precision in
        (try? context(precision: precision))?.numericsClass.hasSuffix("-winograd") == true
    }

    private static func context(
        threads: Int = 2, precision: PrecisionChoice = .f32, kernelSet: String? = nil
    ) throws -> ComputeContext {
        try ComputeContext(backend: .onednn, threads: threads, kernelSet: kernelSet, precision: precision)
    }

    /// The rule for each of oneDNN's instruction sets.
    @Test(arguments: [
        ("sse41", [ElementType.f32]), ("avx2", [.f32]), ("avx512_core", [.f32]), ("avx512_core_vnni", [.f32]),
        ("avx512_core_bf16", [.f32, .bf16]), ("avx512_core_fp16", [.f32, .bf16]), ("avx512_core_amx", [.f32]),
        ("avx512_core_amx_fp16", [.f32]),
    ])
    func typesByInstructionSet(name: String, types: [ElementType]) throws {
        #expect(OneDNNInstructionSet(name).winogradTypes == Set(types))
    }

    /// The rule holds for this CPU, so that the cases of bf16 do not fall out of the tests.
    @Test func precisionsOfThisCPU() throws {
        let set = try #require(try Self.context().backend as? OneDNNBackend).instructionSet
        #expect(Self.precisions == (set.winogradTypes.contains(.bf16) ? [.f32, .bf16] : [.f32]))
    }

    /// The values in the context's precision.
    private static func tensor(_ values: [Float], _ shape: [Int], _ context: ComputeContext) -> Tensor {
        context.convertWeights(Tensor(values, shape: shape), to: context.precision)
    }

    private static func array(_ x: Tensor, _ context: ComputeContext) -> [Float] { context.convert(x, to: .f32).array }

    private static func sums(_ test: Case, _ x: [Float], _ weight: [Float], _ bias: [Float]) -> PlainConvolution {
        PlainConvolution(
            x, height: test.h, width: test.w, weight, bias, padding: (test.padding.top, test.padding.left),
            result: (test.shape.outHeight, test.shape.outWidth))
    }

    private static func parameters(
        _ context: ComputeContext, _ weight: Tensor, _ bias: Tensor?, isFixed: Bool = true
    ) throws -> ConvolutionParameters {
        try context.packConvolution(weight: weight, bias: bias, use: ConvolutionUse(side: 64, isFixed: isFixed))
    }

    @Test(arguments: precisions, cases) func valuesAreTheSums(precision: PrecisionChoice, test: Case) throws {
        // Seven roundings of the sum of the products' magnitudes: of 2^-24 each in f32, of 2^-9 in bf16.
        let bound = precision == .f32 ? 4e-7 : 7.0 / 512
        for set in ComputeContext.kernelSets {
            let context = try Self.context(precision: precision, kernelSet: set)
            var numbers = TestNumbers(seed: UInt64(test.h * 100 + test.output))
            let x = Self.tensor(
                numbers.floats(test.n * test.h * test.w * test.input), [test.n, test.h, test.w, test.input], context)
            let weight = Self.tensor(
                numbers.floats(test.output * test.input * 9, scale: 0.2), [test.output, test.input, 3, 3], context)
            let bias = numbers.floats(test.output)
            let expected = Self.sums(test, Self.array(x, context), Self.array(weight, context), bias)
            let parameters = try Self.parameters(context, weight, Tensor(bias, shape: [test.output]))
            let plain = try context.convolution(x, parameters, padding: test.padding)
            let residual = Self.tensor(numbers.floats(expected.values.count), plain.shape, context)
            let added = try context.convolution(x, parameters, padding: test.padding, residual: residual)
            if precision == .f32 { #expect(added.array == zip(plain.array, residual.array).map { $0 + $1 }, "\(set), \(test)") }
            var worst = 0.0
            let addends = Self.array(residual, context)
            for (index, value) in Self.array(plain, context).enumerated() {
                worst = max(worst, abs(Double(value) - expected.values[index]) / expected.magnitudes[index])
            }
            #expect(worst < bound, "\(set), \(test): \(worst)")
            for (index, value) in Self.array(added, context).enumerated() {
                let (sum, magnitude) = (expected.values[index] + Double(addends[index]), abs(Double(addends[index])))
                worst = max(worst, abs(Double(value) - sum) / (expected.magnitudes[index] + magnitude))
            }
            #expect(worst < bound, "\(set), \(test): \(worst) with residual")
        }
    }

    /// With as many channels as networks have, the error is at most thrice that of the sums rounded once.
    @Test(.enabled(if: precisions.contains(.bf16))) func errorOfWideLayersInBF16() throws {
        let context = try Self.context(precision: .bf16)
        let plain = try Self.context()
        for (side, channels) in [(12, 320), (6, 1280)] {
            let weight = context.convertWeights(.repeatingNumbers(1, [64, channels, 3, 3], scale: 0.02), to: .bf16)
            let x = context.convert(.repeatingNumbers(2, [1, side, side, channels]), to: .bf16)
            let sums = try plain.convolution(
                plain.convert(x, to: .f32), Self.parameters(plain, plain.convertWeights(weight, to: .f32), nil)
            ).array
            func error(_ values: [Float]) -> Double {
                zip(values, sums).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }.squareRoot()
            }
            let rounded = Self.array(context.convert(Tensor(sums, shape: [sums.count]), to: .bf16), context)
            let y = try context.convolution(x, Self.parameters(context, weight, nil))
            let ratio = error(Self.array(y, context)) / error(rounded)
            #expect(1.5..<3 ~= ratio, "\(channels) channels: \(ratio)")
        }
    }

    /// The network's last layer takes bf16 and gives f32.
    @Test(.enabled(if: precisions.contains(.bf16))) func bf16ToF32() throws {
        let context = try Self.context(precision: .bf16)
        let weight = context.convertWeights(.repeatingNumbers(1, [16, 48, 3, 3], scale: 0.1), to: .bf16)
        let x = context.convert(.repeatingNumbers(2, [1, 9, 8, 48]), to: .bf16)
        let parameters = try Self.parameters(context, weight, nil)
        let exact = try context.convolution(x, parameters, as: .f32)
        #expect(exact.elementType == .f32)
        let rounded = try context.convolution(x, parameters)
        #expect(Self.array(context.convert(exact, to: .bf16), context) == Self.array(rounded, context))
        let residual = Tensor.repeatingNumbers(3, exact.shape)
        let added = try context.convolution(x, parameters, residual: residual, as: .f32)
        #expect(added.array == zip(exact.array, residual.array).map { $0 + $1 })
        #expect(throws: ComputeError.self) { try context.convolution(x, parameters, as: .f16) }
    }

    /// Weights for a convolution that is used in another way too stay whole.
    @Test func onlyLayersOfOneUseAreTransformed() throws {
        let context = try ComputeContext(backend: .onednn, threads: 1)
        func bytes(_ inputs: Int, _ outputs: Int, _ use: ConvolutionUse, kernel: Int = 3) throws -> Int {
            try context.weightFormat(
                of: .convolution(inputs: inputs, outputs: outputs, kernelHeight: kernel, kernelWidth: kernel, use: use),
                type: .f32
            ).byteCount
        }
        let fixed = ConvolutionUse(side: 64, isFixed: true)
        #expect(try bytes(64, 64, fixed) >= 16 * 64 * 64 * 4)
        #expect(try bytes(64, 64, ConvolutionUse(side: 64)) < 16 * 64 * 64 * 4)
        #expect(try bytes(64, 64, ConvolutionUse(side: 64, stride: 2, isFixed: true)) < 16 * 64 * 64 * 4)
        #expect(try bytes(64, 64, fixed, kernel: 1) < 9 * 64 * 64 * 4)
        // The levels of Stable Diffusion 1.5. Large weights of small maps would be read for few tiles only.
        for (side, inputs, outputs, serves) in [
            (64, 960, 320, true), (32, 1920, 640, true), (16, 1280, 1280, false), (8, 1280, 1280, false),
        ] {
            let matrices = 16 * inputs * outputs * 4
            #expect(try (bytes(inputs, outputs, ConvolutionUse(side: side, isFixed: true)) >= matrices) == serves, "\(side)")
        }
        let pixels = Tensor(repeating: 1, shape: [1, 9, 9, 64])
        let parameters = try Self.parameters(context, Tensor(repeating: 1, shape: [64, 64, 3, 3]), nil, isFixed: false)
        #expect(try context.convolution(pixels, parameters, stride: 2).shape == [1, 5, 5, 64])
    }

    /// An image has the same bits alone, in a batch, with any number of threads, and cut into slices.
    @Test(arguments: precisions, [(33, 48, 16), (16, 320, 320), (20, 131, 64)])
    func bitsDependOnTheImageOnly(precision: PrecisionChoice, _ layer: (side: Int, input: Int, output: Int)) throws {
        let (side, input, output) = layer
        let size = side * side * output
        var alone: [Float] = []
        for threads in 1...3 {
            let context = try Self.context(threads: threads, precision: precision)
            let weight = context.convertWeights(
                .repeatingNumbers(1, [output, input, 3, 3], scale: 0.1), to: context.precision)
            let x = context.convert(.repeatingNumbers(2, [5, side, side, input]), to: context.precision)
            let parameters = try Self.parameters(context, weight, nil)
            func run(_ images: Range<Int>) throws -> [Float] {
                let x = x.part(at: images.lowerBound * side * side * input, shape: [images.count, side, side, input])
                return try Self.array(context.convolution(x, parameters), context)
            }
            if alone.isEmpty { alone = try (0..<5).flatMap { try run($0..<($0 + 1)) } }
            for images in [0..<5, 3..<5, 1..<4] {
                #expect(try run(images) == Array(alone[(images.lowerBound * size)..<(images.upperBound * size)]), "\(images)")
            }
            context.operationsPerSlice = 2 * side * output * input * 9 * 5
            #expect(try run(0..<5) == alone, "\(threads) threads, in slices")
        }
    }

    /// The bits do not depend on the borders of the chunks, and the values are those of one chunk.
    @Test(arguments: precisions, cases) func chunksChangeNothing(precision: PrecisionChoice, test: Case) throws {
        for threads in 1...3 {
            let context = try Self.context(threads: threads, precision: precision)
            let whole = try Self.run(test, context, tilesOfChunk: 1 << 20)
            #expect(whole.allSatisfy { $0.isFinite })
            for tiles in [1, 3, 7, 64] {
                #expect(try Self.run(test, context, tilesOfChunk: tiles) == whole, "\(tiles) tiles in a chunk")
            }
        }
    }

    /// A convolution in chunks of `tilesOfChunk` tiles.
    private static func run(_ test: Case, _ context: ComputeContext, tilesOfChunk: Int) throws -> [Float] {
        var numbers = TestNumbers(seed: UInt64(test.w * 100 + test.input))
        let x = tensor(numbers.floats(test.n * test.h * test.w * test.input), [test.n, test.h, test.w, test.input], context)
        let weight = tensor(
            numbers.floats(test.output * test.input * 9, scale: 0.2), [test.output, test.input, 3, 3], context)
        let (shape, type) = (test.shape, context.precision)
        let bytes = 16 * (test.input * type.byteCount + test.output * 4)
        let winograd = WinogradConvolutions(
            try context.backend.products(of: [type]), types: [type], pool: context.pool, kernels: context.kernels,
            memory: context.memory, chunkBytes: tilesOfChunk * bytes)
        let use = ConvolutionUse(isFixed: true)
        let format = try winograd.format(
            of: .convolution(inputs: test.input, outputs: test.output, kernelHeight: 3, kernelWidth: 3, use: use), type: type)
        let parameters = ConvolutionParameters(
            inChannels: test.input, outChannels: test.output, kernelHeight: 3, kernelWidth: 3, use: use, elementType: type,
            bias: nil, weights: winograd.adopt(try winograd.pack(weight, into: format), format))
        let y = tensor(
            [Float](repeating: .nan, count: test.n * shape.outHeight * shape.outWidth * test.output),
            [test.n, shape.outHeight, shape.outWidth, test.output], context)
        try winograd.convolution(x, shape, parameters, residual: nil, into: y)
        return array(y, context)
    }

    /// Networks of several sizes call each layer again without asking the system for memory.
    @Test(arguments: precisions) func theSecondCallAsksForNoMemory(precision: PrecisionChoice) throws {
        let context = try Self.context(precision: precision)
        let weight = context.convertWeights(.repeatingNumbers(1, [48, 40, 3, 3]), to: context.precision)
        let parameters = try Self.parameters(context, weight, nil)
        let x = context.convertWeights(.repeatingNumbers(2, [2, 24, 24, 40]), to: context.precision)
        _ = try context.convolution(x, parameters)
        let before = context.counts
        _ = try context.convolution(x, parameters)
        let costs = context.counts - before
        #expect(costs.allocations == 0)
        #expect(costs.preparations == 0)
        #expect(costs.reorders == 0)
    }
}
