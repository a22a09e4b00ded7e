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

    /// The sums in f64, and of each the sum of the products' magnitudes.
    private static func sums(
        _ test: Case, _ x: [Float], _ weight: [Float], _ bias: [Float]
    ) -> (values: [Double], magnitudes: [Double]) {
        let shape = test.shape
        let (outH, outW) = (shape.outHeight, shape.outWidth)
        var values: [Double] = []
        var magnitudes: [Double] = []
        for place in 0..<(test.n * outH * outW) {
            let (image, oy, ox) = (place / (outH * outW), place / outW % outH, place % outW)
            for o in 0..<test.output {
                var (sum, magnitude) = (Double(bias[o]), Double(abs(bias[o])))
                for tap in 0..<9 {
                    let (iy, ix) = (oy + tap / 3 - test.padding.top, ox + tap % 3 - test.padding.left)
                    guard (0..<test.h).contains(iy), (0..<test.w).contains(ix) else { continue }
                    let pixel = ((image * test.h + iy) * test.w + ix) * test.input
                    for i in 0..<test.input {
                        let product = Double(x[pixel + i]) * Double(weight[(o * test.input + i) * 9 + tap])
                        sum += product
                        magnitude += abs(product)
                    }
                }
                values.append(sum)
                magnitudes.append(magnitude)
            }
        }
        return (values, magnitudes)
    }

    private static func parameters(
        _ context: ComputeContext, _ weight: Tensor, _ bias: Tensor?, isFixed: Bool = true
    ) throws -> ConvolutionParameters {
        try context.packConvolution(weight: weight, bias: bias, use: ConvolutionUse(side: 64, isFixed: isFixed))
    }

    @Test(arguments: cases) func valuesAreTheSums(test: Case) throws {
        var numbers = TestNumbers(seed: UInt64(test.h * 100 + test.output))
        let x = numbers.floats(test.n * test.h * test.w * test.input)
        let weight = numbers.floats(test.output * test.input * 9, scale: 0.2)
        let bias = numbers.floats(test.output)
        let expected = Self.sums(test, x, weight, bias)
        let residual = numbers.floats(expected.values.count)
        for set in ComputeContext.kernelSets {
            let context = try ComputeContext(backend: .onednn, threads: 2, kernelSet: set)
            let parameters = try Self.parameters(
                context, Tensor(weight, shape: [test.output, test.input, 3, 3]), Tensor(bias, shape: [test.output]))
            let pixels = Tensor(x, shape: [test.n, test.h, test.w, test.input])
            let plain = try context.convolution(pixels, parameters, padding: test.padding)
            let added = try context.convolution(
                pixels, parameters, padding: test.padding, residual: Tensor(residual, shape: plain.shape))
            var worst = 0.0
            for (index, value) in plain.array.enumerated() {
                worst = max(worst, abs(Double(value) - expected.values[index]) / expected.magnitudes[index])
            }
            // Seven roundings (2^-24 each) of the sum of the products' magnitudes.
            #expect(worst < 4e-7, "\(set), \(test): \(worst)")
            #expect(added.array == zip(plain.array, residual).map { $0 + $1 }, "\(set), \(test): with residual")
        }
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
    @Test(arguments: [(33, 48, 16), (16, 320, 320), (20, 131, 64)])
    func bitsDependOnTheImageOnly(side: Int, input: Int, output: Int) throws {
        let weight = Tensor.repeatingNumbers(1, [output, input, 3, 3], scale: 0.1)
        let x = Tensor.repeatingNumbers(2, [5, side, side, input])
        let size = side * side * output
        var alone: [Float] = []
        for threads in 1...3 {
            let context = try ComputeContext(backend: .onednn, threads: threads)
            let parameters = try Self.parameters(context, weight, nil)
            func run(_ images: Range<Int>) throws -> [Float] {
                try context.convolution(
                    x.part(at: images.lowerBound * side * side * input, shape: [images.count, side, side, input]), parameters
                ).array
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
    @Test(arguments: [1, 2, 3], cases) func chunksChangeNothing(threads: Int, test: Case) throws {
        var numbers = TestNumbers(seed: UInt64(test.w * 100 + test.input))
        let x = Tensor(
            numbers.floats(test.n * test.h * test.w * test.input), shape: [test.n, test.h, test.w, test.input])
        let weight = Tensor(numbers.floats(test.output * test.input * 9, scale: 0.2), shape: [test.output, test.input, 3, 3])
        let shape = test.shape
        let context = try ComputeContext(backend: .onednn, threads: threads)
        let layer = WeightLayer.convolution(
            inputs: test.input, outputs: test.output, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(isFixed: true))
        func run(tilesOfChunk: Int) throws -> [Float] {
            let winograd = WinogradConvolutions(
                try context.backend.products(of: [.f32]), pool: context.pool, kernels: context.kernels, memory: context.memory,
                chunkFloats: tilesOfChunk * 16 * (test.input + test.output))
            let format = try winograd.format(of: layer, type: .f32)
            let parameters = ConvolutionParameters(
                inChannels: test.input, outChannels: test.output, kernelHeight: 3, kernelWidth: 3,
                use: ConvolutionUse(isFixed: true), elementType: .f32, bias: nil,
                weights: winograd.adopt(try winograd.pack(weight, into: format), format))
            let y = Tensor(repeating: .nan, shape: [test.n, shape.outHeight, shape.outWidth, test.output])
            try winograd.convolution(x, shape, parameters, residual: nil, into: y)
            return y.array
        }
        let whole = try run(tilesOfChunk: 1 << 20)
        #expect(whole.allSatisfy { $0.isFinite })
        for tiles in [1, 3, 7, 64] { #expect(try run(tilesOfChunk: tiles) == whole, "\(tiles) tiles in a chunk") }
    }

    /// Networks of several sizes call each layer again without asking the system for memory.
    @Test func theSecondCallAsksForNoMemory() throws {
        let context = try ComputeContext(backend: .onednn, threads: 2)
        let parameters = try Self.parameters(context, .repeatingNumbers(1, [48, 40, 3, 3]), nil)
        let x = Tensor.repeatingNumbers(2, [2, 24, 24, 40])
        _ = try context.convolution(x, parameters)
        let before = context.counts
        _ = try context.convolution(x, parameters)
        let costs = context.counts - before
        #expect(costs.allocations == 0)
        #expect(costs.preparations == 0)
        #expect(costs.reorders == 0)
    }
}
