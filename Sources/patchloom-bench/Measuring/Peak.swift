import TensorCore

/// The rate of this machine at its best: the fastest of large convolutions and matrix products, each alone with operands in
/// the cache. Convolutions are the direct ones: their use is not fixed, so `WinogradConvolutions` does not serve them. A
/// network can be faster in this unit, as Winograd's convolutions do 16 of each 36 products that are counted.
enum Peak {
    /// (side of the map, channels) of 3×3 convolutions: the three wide levels of a U-Net, with 7.5 GFLOP each.
    private static let convolutions = [(64, 320), (32, 640), (16, 1280)]
    /// (rows, from, to) of matrix products.
    private static let products = [(4096, 320, 2560), (1024, 640, 5120), (256, 1280, 10240), (4096, 1280, 1280)]

    /// The rate in 10⁹ multiplications and additions a second.
    static func measure(_ context: ComputeContext, runs: Int = 5) throws -> Double {
        var rates: [Double] = []
        func add(_ call: () throws -> Void) throws {
            let measured = try MeasuredNetwork(context, runs: runs, call)
            rates.append(Double(measured.operations) / measured.timing.best * 1e-9)
        }
        for (side, channels) in convolutions {
            let weight = context.convertWeights(uniform([channels, channels, 3, 3]), to: context.precision)
            let parameters = try context.packConvolution(weight: weight, bias: nil)
            let x = context.convert(uniform([1, side, side, channels]), to: context.precision)
            try add { _ = try context.convolution(x, parameters) }
        }
        for (rows, inputs, outputs) in products {
            let weight = context.convertWeights(uniform([outputs, inputs]), to: context.precision)
            let parameters = try context.packLinear(weight: weight, bias: nil)
            let x = context.convert(uniform([rows, inputs]), to: context.precision)
            try add { _ = try context.linear(x, parameters) }
        }
        return rates.max() ?? 0
    }
}
