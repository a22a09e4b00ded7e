import TestSupport
import Testing

@testable import TensorCore

/// An image gets the same bits alone and in a group with others, at the shapes of Stable Diffusion 1.5's layers, and of one of
/// SDXL's. Workers compute views in groups, and a picture must not depend on who computed which view with which others.
@Suite struct GroupedBitsTests {
    /// A library with an element type.
    struct Arithmetic: CustomTestStringConvertible, Sendable {
        let backend: BackendChoice
        let precision: PrecisionChoice

        var testDescription: String { "\(backend) \(precision)" }

        func context(threads: Int = 2) throws -> ComputeContext {
            try ComputeContext(backend: backend, threads: threads, precision: precision)
        }
    }

    static let arithmetics = BackendChoice.arithmetics.map { Arithmetic(backend: $0.backend, precision: $0.precision) }

    static let largest = 8

    /// The sizes of groups for the test of a layer: the largest, and one of 2 to 7 by its place in the list. A layer with many
    /// multiplications is tested in pairs.
    ///
    /// - Parameter operations: of one image.
    private static func groups(_ place: Int, operations: Int) -> [Int] {
        operations > 10_000_000_000 ? [2] : [2 + place % (largest - 2), largest]
    }

    /// Reproducible numbers, quickly: a block of them again and again. The block's length divides no layer's width.
    private static func numbers(_ seed: UInt64, _ shape: [Int], scale: Float = 1) -> Tensor {
        var generator = TestNumbers(seed: seed)
        let block = generator.floats(8191, scale: scale)
        var values: [Float] = []
        while values.count < Tensor.elementCount(shape) { values += block }
        return Tensor(Array(values.prefix(Tensor.elementCount(shape))), shape: shape)
    }

    /// Computes images one by one, then in groups, and compares the bytes.
    ///
    /// - Parameter groups: the sizes of the groups, the largest last.
    private static func compare(
        _ shape: [Int], _ context: ComputeContext, groups: [Int] = [3, largest],
        _ body: (_ images: Range<Int>, Tensor) throws -> Tensor
    ) throws {
        let largest = groups[groups.count - 1]
        let batch = context.convert(numbers(3, [largest] + shape), to: context.precision)
        let size = Tensor.elementCount(shape)
        let alone = try (0..<largest).map { image in
            try body(image..<(image + 1), batch.part(at: image * size, shape: [1] + shape))
        }
        #expect(!alone[0].image(0, equals: 0, of: alone[1]), "the images are not different")
        for group in groups {
            // The last images of the batch, so that an image's place in the group changes.
            let first = largest - group
            let together = try body(first..<largest, batch.part(at: first * size, shape: [group] + shape))
            for image in 0..<group {
                #expect(together.image(image, equals: 0, of: alone[first + image]), "image \(image) in a group of \(group)")
            }
        }
    }

    /// Side, inputs, outputs, stride, padding, dilation.
    static let convolutions = [
        (64, 320, 320, 1, 1, 1), (32, 640, 640, 1, 1, 1), (16, 1280, 1280, 1, 1, 1), (8, 2560, 1280, 1, 1, 1),
        (64, 4, 320, 1, 1, 1), (64, 320, 4, 1, 1, 1), (64, 320, 320, 2, 1, 1), (32, 640, 640, 2, 1, 1), (64, 320, 320, 4, 2, 2),
        // Up blocks join the maps from below with the kept maps.
        (64, 960, 320, 1, 1, 1),
    ]

    @Test(arguments: arithmetics, Array(convolutions.enumerated()))
    func convolution(
        _ arithmetic: Arithmetic, _ layer: (offset: Int, element: (Int, Int, Int, Int, Int, Int))
    ) throws {
        let (side, inputs, outputs, stride, padding, dilation) = layer.element
        let groups = Self.groups(layer.offset, operations: 2 * 9 * inputs * outputs * (side / stride) * (side / stride))
        let context = try arithmetic.context()
        let weight = context.convertWeights(Self.numbers(1, [outputs, inputs, 3, 3], scale: 0.02), to: context.precision)
        let use = ConvolutionUse(side: side, stride: stride, isFixed: stride == 1)
        let parameters = try context.packConvolution(weight: weight, bias: Self.numbers(2, [outputs]), use: use)
        // Residual blocks add their input.
        let adds = inputs == outputs && stride == 1
        let residuals = context.convert(Self.numbers(4, [Self.largest, side, side, outputs]), to: context.precision)
        try Self.compare([side, side, inputs], context, groups: groups) { images, x in
            let residual =
                adds
                ? residuals.part(
                    at: images.lowerBound * side * side * outputs, shape: [images.count, side, side, outputs]) : nil
            return try context.convolution(
                x, parameters, stride: stride, padding: Padding(padding), dilation: dilation, residual: residual)
        }
    }

    /// Rows of an image, inputs, outputs.
    static let layers = [
        (4096, 320, 320), (1024, 320, 2560), (1024, 640, 640), (1024, 2560, 640), (256, 1280, 10240), (256, 5120, 1280),
        (64, 1280, 1280), (64, 5120, 1280), (77, 768, 1280), (1, 320, 1280), (1, 1280, 1280), (33, 96, 384),
        (77, 2048, 640),
    ]

    @Test(arguments: arithmetics, Array(layers.enumerated()))
    func linear(_ arithmetic: Arithmetic, _ layer: (offset: Int, element: (Int, Int, Int))) throws {
        let (rows, inputs, outputs) = layer.element
        let groups = Self.groups(layer.offset, operations: 2 * rows * inputs * outputs)
        let context = try arithmetic.context()
        let weight = context.convertWeights(
            Self.numbers(1, [outputs, inputs], scale: 1 / Float(inputs).squareRoot()), to: context.precision)
        let parameters = try context.packLinear(weight: weight, bias: Self.numbers(2, [outputs]))
        let residuals = context.convert(Self.numbers(4, [Self.largest, rows, outputs]), to: context.precision)
        try Self.compare([rows, inputs], context, groups: groups) { images, x in
            try context.linear(
                x, parameters,
                residual: residuals.part(
                    at: images.lowerBound * rows * outputs, shape: [images.count, rows, outputs]))
        }
        // Long products are cut into slices. The slices of an image must not depend on the group either.
        context.operationsPerSlice = 2 * inputs * outputs * max(1, rows / 3)
        try Self.compare([rows, inputs], context, groups: [2, 3]) { _, x in
            try context.linear(x, parameters, activation: .silu)
        }
    }

    /// Heads, width of a head, tokens.
    @Test(
        arguments: arithmetics,
        Array([(8, 40, 1024), (8, 80, 256), (8, 160, 64), (10, 64, 100), (8, 40, 4096)].enumerated()))
    func attention(_ arithmetic: Arithmetic, _ layer: (offset: Int, element: (Int, Int, Int))) throws {
        let (heads, width, tokens) = layer.element
        let context = try arithmetic.context()
        let groups = Self.groups(layer.offset, operations: 4 * tokens * tokens * heads * width)
        try Self.compare([tokens, heads * width], context, groups: groups) { _, x in
            context.attention(query: x, key: x, value: x, heads: heads)
        }
        // Queries against the keys of two prompts: each image with the prompt of its place.
        let keys = context.convert(Self.numbers(5, [2, 77, heads * width]), to: context.precision)
        for prompt in 0..<2 {
            let own = keys.part(at: prompt * 77 * heads * width, shape: [1, 77, heads * width])
            let x = context.convert(Self.numbers(6, [6, tokens, heads * width]), to: context.precision)
            let all = context.attention(query: x, key: keys, value: keys, heads: heads)
            let one = context.attention(query: x, key: own, value: own, heads: heads)
            for image in stride(from: prompt, to: 6, by: 2) { #expect(all.image(image, equals: image, of: one)) }
        }
    }

    @Test(arguments: arithmetics, [(64, 320), (16, 1280), (8, 2560), (5, 96)])
    func norms(_ arithmetic: Arithmetic, _ layer: (Int, Int)) throws {
        let (side, channels) = layer
        let context = try arithmetic.context()
        let (scale, offset) = (Self.numbers(1, [channels]), Self.numbers(2, [channels]))
        let addends = context.convert(Self.numbers(4, [Self.largest, 1, channels]), to: context.precision)
        try Self.compare([side, side, channels], context) { images, x in
            let addend = addends.part(at: images.lowerBound * channels, shape: [images.count, 1, channels])
            let y = context.groupNorm(
                x, groups: 32, scale: scale, offset: offset, epsilon: 1e-5, silu: true, addend: addend)
            return context.layerNorm(y, scale: scale, offset: offset, epsilon: 1e-5)
        }
    }

    /// Merged tokens are matched within their image; maps are resized and pooled image by image.
    @Test(arguments: arithmetics) func tokensAndMaps(_ arithmetic: Arithmetic) throws {
        let context = try arithmetic.context()
        let (sources, destinations) = ((0..<256).filter { $0 % 4 != 0 }.map(Int32.init), (0..<64).map { Int32($0 * 4) })
        try Self.compare([256, 320], context) { _, x in
            let (scores, best) = context.bestMatches(x, sources: sources, destinations: destinations)
            // The scores of each image, then the places.
            let rows = (0..<x.shape[0]).flatMap { image -> [Float] in
                let range = (image * sources.count)..<((image + 1) * sources.count)
                return scores[range] + best[range].map(Float.init)
            }
            return Tensor(rows, shape: [x.shape[0], 2 * sources.count])
        }
        try Self.compare([15, 17, 64], context) { _, x in context.resizeBicubic(x, height: 16, width: 18) }
        try Self.compare([15, 17, 64], context) { _, x in context.resizeNearest(x, height: 30, width: 33) }
        try Self.compare([15, 17, 64], context) { _, x in context.averagePool2x2(x) }
        try Self.compare([64, 640], context) { _, x in context.geglu(context.silu(x)) }
    }

    @Test func imagesAreRepeatedInOrder() throws {
        let context = try ComputeContext(threads: 2)
        let x = Tensor((0..<12).map(Float.init), shape: [3, 2, 2])
        let each = context.repeatImages(x, times: 2)
        #expect(each.shape == [6, 2, 2])
        #expect(each.array == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 8, 9, 10, 11, 8, 9, 10, 11])
        #expect(context.repeatBatch(x, times: 2).array == x.array + x.array)
        #expect(context.repeatImages(x, times: 1).array == x.array)
    }

    /// Work that images share counts for each of them.
    @Test func sharedWorkCountsForEachImage() throws {
        let context = try ComputeContext(threads: 1)
        let parameters = try context.packLinear(weight: Self.numbers(1, [3, 5]), bias: nil)
        try context.sharing(by: 4) { () throws(ComputeError) in
            try context.sharing(by: 2) { () throws(ComputeError) in
                _ = try context.linear(Self.numbers(2, [1, 7, 5]), parameters)
            }
        }
        #expect(context.operations == 8 * 2 * 7 * 5 * 3)
        _ = try context.linear(Self.numbers(2, [1, 7, 5]), parameters)
        #expect(context.operations == 9 * 2 * 7 * 5 * 3)
    }
}
