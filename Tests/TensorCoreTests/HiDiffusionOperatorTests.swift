import TensorCore
import TestSupport
import Testing

/// HiDiffusion's operators: the known answers of the specification's section 3.4 and plain loops (vectors G15 and G16).
@Suite struct HiDiffusionOperatorTests {
    static let backends = BackendChoice.libraries

    /// Stride, padding and dilation of the plain downsampling convolution and of the dilated one.
    struct Kind: Sendable {
        var stride: Int
        var padding: Int
        var dilation: Int
        static let plain = Kind(stride: 2, padding: 1, dilation: 1)
        static let dilated = Kind(stride: 4, padding: 2, dilation: 2)
    }

    private func run(_ x: Tensor, weight: Tensor, bias: Tensor, _ kind: Kind, _ context: ComputeContext) throws -> Tensor {
        try context.convolution(
            x, context.packConvolution(weight: weight, bias: bias), stride: kind.stride, padding: Padding(kind.padding),
            dilation: kind.dilation)
    }

    @Test(arguments: backends) func theKnownConvolutions(_ backend: BackendChoice) throws {
        let context = try ComputeContext(backend: backend, threads: 1)
        let x = Tensor((0..<25).map { Float($0) }, shape: [1, 5, 5, 1])
        let weight = Tensor((1...9).map { Float($0) }, shape: [1, 1, 3, 3])
        let bias = Tensor([0.5], shape: [1])
        let dilated = try run(x, weight: weight, bias: bias, .dilated, context)
        #expect(dilated.array == [200.5, 224.5, 288.5, 248.5] && dilated.shape == [1, 2, 2, 1])
        #expect(
            try run(x, weight: weight, bias: bias, .plain, context).array
                == [100.5, 202.5, 160.5, 408.5, 636.5, 426.5, 304.5, 436.5, 268.5])
    }

    /// Three channels to five, with bias, on the sides where rounding shows.
    @Test(arguments: backends, [7, 8, 9, 10, 11, 12, 13, 64, 65, 66, 67, 128])
    func convolutionsOfAnySide(_ backend: BackendChoice, _ side: Int) throws {
        let context = try ComputeContext(backend: backend, threads: 1)
        var numbers = TestNumbers(seed: UInt64(side))
        let (height, width) = (side, side > 13 ? 9 : side + 1)
        let x = Tensor(numbers.floats(height * width * 3), shape: [1, height, width, 3])
        let weight = Tensor(numbers.floats(5 * 3 * 9, scale: 0.3), shape: [5, 3, 3, 3])
        let bias = Tensor(numbers.floats(5), shape: [5])
        for kind in [Kind.plain, .dilated] {
            let y = try run(x, weight: weight, bias: bias, kind, context)
            #expect(y.shape == [1, (height + kind.stride - 1) / kind.stride, (width + kind.stride - 1) / kind.stride, 5])
            let closeness = Closeness(y.array, loops(x, weight, bias, kind))
            #expect(closeness.within(largest: 1e-5), "\(side), \(kind): \(closeness)")
        }
    }

    private func loops(_ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ kind: Kind) -> [Float] {
        let (height, width) = (x.shape[1], x.shape[2])
        var result: [Float] = []
        for row in stride(from: 0, to: height, by: kind.stride) {
            for column in stride(from: 0, to: width, by: kind.stride) {
                for o in 0..<5 {
                    var sum = Double(bias.elements(as: Float.self)[o])
                    for tap in 0..<9 {
                        let y = row - kind.padding + tap / 3 * kind.dilation
                        let z = column - kind.padding + tap % 3 * kind.dilation
                        guard (0..<height).contains(y), (0..<width).contains(z) else { continue }
                        for c in 0..<3 {
                            sum +=
                                Double(weight.elements(as: Float.self)[(o * 3 + c) * 9 + tap])
                                * Double(x.elements(as: Float.self)[(y * width + z) * 3 + c])
                        }
                    }
                    result.append(Float(sum))
                }
            }
        }
        return result
    }

    private func ramp(_ height: Int, _ width: Int) -> Tensor {
        Tensor((0..<(height * width)).map { Float($0) }, shape: [1, height, width, 1])
    }

    @Test func theKnownPoolingAndBicubicResizing() throws {
        let context = try ComputeContext(threads: 1)
        let x = ramp(3, 3)
        // The specification's numbers are those of 1 to 9.
        let counted = Tensor(x.array.map { $0 + 1 }, shape: x.shape)
        #expect(context.averagePool2x2(counted).array == [3, 4.5, 7.5, 9])
        let large = context.resizeBicubic(x, height: 5, width: 5).array
        let known: [(Int, [Float])] = [
            (0, [-0.384, 0.028, 0.712, 1.396, 1.808]), (20, [6.192, 6.604, 7.288, 7.972, 8.384]),
        ]
        for (place, row) in known {
            #expect(Closeness(Array(large[place..<(place + 5)]), row).within(largest: 6e-4, nmse: 1e-5))
        }
        // Where the side doubles, points lie a quarter from their neighbours.
        let impulse = Tensor([0, 0, 1, 0, 0], shape: [1, 1, 5, 1])
        let spread = context.resizeBicubic(impulse, height: 1, width: 10).array
        let weights: [Float] = [-0.035156, -0.105469, 0.261719, 0.878906, 0.878906, 0.261719, -0.105469, -0.035156]
        #expect(Closeness(Array(spread[1...8]), weights).within(largest: 1e-6))
    }

    @Test func theKnownNearestPoints() throws {
        let context = try ComputeContext(threads: 1)
        #expect(context.resizeNearest(ramp(1, 3), height: 1, width: 5).array == [0, 0, 1, 1, 2])
        #expect(context.resizeNearest(ramp(1, 19), height: 1, width: 8).array == [0, 2, 4, 7, 9, 11, 14, 16])
        #expect(context.resizeNearest(ramp(19, 1), height: 8, width: 1).array == [0, 2, 4, 7, 9, 11, 14, 16])
    }

    /// A pooled map at odd sides: 48 pooled rows stand for 96 rows, not for 95, and the way back spreads them over 95. This
    /// kernel bends a plane a little; one point of it is an eighth and a sixteenth.
    @Test func oddSidesComeBack() throws {
        let context = try ComputeContext(threads: 1)
        func plane(_ y: Float, _ x: Float) -> Float { y / 8 + x / 16 }
        var values: [Float] = []
        for y in 0..<95 { for x in 0..<135 { values.append(plane(Float(y), Float(x))) } }
        let x = Tensor(values, shape: [1, 95, 135, 1])
        let pooled = context.averagePool2x2(x)
        #expect(pooled.shape == [1, 48, 68, 1])
        // The last corner is the average of the one point that is there.
        #expect(pooled.array.last == values.last)
        let back = context.resizeBicubic(pooled, height: 95, width: 135)
        #expect(back.shape == x.shape)
        for row in stride(from: 8, to: 87, by: 13) {
            for column in stride(from: 8, to: 127, by: 17) {
                let y = (Float(row) + 0.5) * 96 / 95 - 0.5
                let x = (Float(column) + 0.5) * 136 / 135 - 0.5
                let difference = back.elements(as: Float.self)[row * 135 + column] - plane(y, x)
                #expect(abs(difference) < 0.02, "\(row), \(column)")
            }
        }
    }

    @Test func nearestPointsDouble() throws {
        let context = try ComputeContext(threads: 1)
        var doubled: [Float] = []
        for row in 0..<48 { for column in 0..<68 { doubled.append(Float(row / 2 * 34 + column / 2)) } }
        #expect(context.resizeNearest(ramp(24, 34), height: 48, width: 68).array == doubled)
    }
}
