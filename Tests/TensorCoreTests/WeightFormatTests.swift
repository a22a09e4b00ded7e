import TestSupport
import Testing

@testable import TensorCore

/// The order of packed weights. Workers with other threads and other pictures must agree on it.
@Suite struct WeightFormatTests {
    private static let layers: [WeightLayer] = [
        .linear(inputs: 320, outputs: 320), .linear(inputs: 1280, outputs: 320), .linear(inputs: 40, outputs: 24),
        .linear(inputs: 768, outputs: 1280), .linear(inputs: 5, outputs: 3),
        .convolution(inputs: 320, outputs: 320, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(side: 64)),
        .convolution(inputs: 640, outputs: 640, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(side: 32, stride: 2)),
        .convolution(inputs: 4, outputs: 320, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(side: 1)),
        .convolution(inputs: 128, outputs: 3, kernelHeight: 3, kernelWidth: 3, use: ConvolutionUse(side: 512)),
    ]

    private static let contexts = BackendChoice.arithmetics

    @Test(arguments: contexts) func threadsDoNotChangeIt(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        for layer in Self.layers {
            var names: Set<String> = []
            for threads in [1, 2, 3, 8, 32] {
                let context = try ComputeContext(backend: backend, threads: threads, precision: precision)
                let format = try context.weightFormat(of: layer, type: context.precision)
                names.insert("\(try #require(format.name)) \(format.byteCount)")
                #expect(format.byteCount >= Tensor.elementCount(format.shape) * context.precision.byteCount)
            }
            #expect(names.count == 1, "\(layer): \(names)")
        }
    }

    @Test func otherLayersHaveOtherNames() throws {
        let context = try ComputeContext(backend: .auto, threads: 1)
        let names = try Self.layers.map { try #require(try context.weightFormat(of: $0, type: .f32).name) }
        #expect(Set(names).count == names.count)
    }

    /// Packed twice, by contexts with other threads: the same bytes, padding too, because a file of them has checksums.
    @Test(arguments: contexts) func packingFillsEveryByte(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        for layer in Self.layers {
            let packed = try [1, 3].map { threads -> [UInt8] in
                let context = try ComputeContext(backend: backend, threads: threads, precision: precision)
                let format = try context.weightFormat(of: layer, type: context.precision)
                let weight = Tensor(Self.numbers(Tensor.elementCount(format.shape)), shape: format.shape)
                let result = try context.pack(context.convertWeights(weight, to: context.precision), into: format)
                return Array(result.rawBytes.prefix(format.byteCount))
            }
            #expect(packed[0] == packed[1], "\(layer)")
        }
    }

    private static let repeated: [Float] = {
        var numbers = TestNumbers(seed: 5)
        return numbers.floats(4099)
    }()

    /// They repeat after a prime number, which divides no step of a layout: a weight at the wrong place shows. Millions of
    /// different ones would take longer to make than to pack.
    private static func numbers(_ count: Int) -> [Float] {
        var numbers: [Float] = []
        numbers.reserveCapacity(count + repeated.count)
        while numbers.count < count { numbers += repeated }
        return Array(numbers.prefix(count))
    }

    /// Weights that are packed for one use compute the same in every other use.
    @Test(arguments: contexts)
    func otherUsesGiveTheSame(_ backend: BackendChoice, _ precision: PrecisionChoice) throws {
        try needs((try? precision.resolved(backend)) != nil, "\(precision) of \(backend)")
        let context = try ComputeContext(backend: backend, threads: 2, precision: precision)
        var numbers = TestNumbers(seed: 6)
        let weight = context.convertWeights(
            Tensor(numbers.floats(320 * 320 * 9, scale: 0.02), shape: [320, 320, 3, 3]), to: context.precision)
        let image = context.convert(Tensor(numbers.floats(8 * 8 * 320), shape: [1, 8, 8, 320]), to: context.precision)
        var first: [Float]?
        for side in [1, 8, 64, 512] {
            let parameters = try context.packConvolution(weight: weight, bias: nil, use: ConvolutionUse(side: side))
            let result = context.convert(try context.convolution(image, parameters), to: .f32).array
            #expect(result == first ?? result, "packed for \(side)")
            first = first ?? result
        }
    }
}
