/// Resizes latents as PyTorch's `interpolate` does, without antialiasing and with pixel centres at halves. A1111's "Latent"
/// upscalers do the same.
public enum LatentResizer {
    /// The formula for values between the given ones.
    public enum Kernel: String, Sendable, CaseIterable {
        /// Two neighbours a side.
        case bilinear
        /// Four neighbours a side, cubic with a = -0.75.
        case bicubic
        /// The neighbour whose centre is nearest (`nearest-exact`).
        case nearest
    }

    /// - Parameters:
    ///   - values: planar (channels, height, width).
    ///   - size: their height and width.
    ///   - target: the new height and width, both at least 1.
    /// - Returns: planar (channels, target height, target width).
    public static func resized(
        _ values: [Float], size: (height: Int, width: Int), to target: (height: Int, width: Int), _ kernel: Kernel
    ) -> [Float] {
        let plane = size.height * size.width
        precondition(plane > 0 && values.count % plane == 0 && target.height >= 1 && target.width >= 1)
        if size == target { return values }
        let across = (0..<target.width).map { Taps(of: $0, from: size.width, to: target.width, kernel) }
        let down = (0..<target.height).map { Taps(of: $0, from: size.height, to: target.height, kernel) }
        var result: [Float] = []
        result.reserveCapacity(values.count / plane * target.height * target.width)
        for channel in 0..<(values.count / plane) {
            let rows = (0..<size.height).map { y in
                let row = (channel * size.height + y) * size.width
                return across.map { taps in taps.sum { values[row + $0] } }
            }
            for taps in down {
                for x in 0..<target.width { result.append(taps.sum { rows[$0][x] }) }
            }
        }
        return result
    }

    /// The source points of one target point. Points beyond the border take the border's value.
    private struct Taps {
        private let first: Int
        private let last: Int
        private let weights: [Float]

        init(of target: Int, from source: Int, to count: Int, _ kernel: Kernel) {
            let center = (Double(target) + 0.5) * Double(source) / Double(count)
            last = source - 1
            switch kernel {
            case .nearest:
                first = min(last, Int(center))
                weights = [1]
            case .bilinear:
                let start = max(0, center - 0.5)
                first = Int(start)
                weights = [Float(1 - (start - Double(first))), Float(start - Double(first))]
            case .bicubic:
                let start = (center - 0.5).rounded(.down)
                first = Int(start) - 1
                let t = center - 0.5 - start
                weights = [1 + t, t, 1 - t, 2 - t].map { Float(Self.cubic($0)) }
            }
        }

        func sum(_ value: (Int) -> Float) -> Float {
            var total: Float = 0
            for (offset, weight) in weights.enumerated() { total += weight * value(min(max(first + offset, 0), last)) }
            return total
        }

        /// Keys' cubic convolution with PyTorch's a.
        private static func cubic(_ x: Double) -> Double {
            let a = -0.75
            return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        }
    }
}
