import Foundation

/// One number for each pixel, row by row.
struct Plane: Sendable, Equatable {
    let width: Int
    let height: Int
    var values: [Double]

    subscript(x: Int, y: Int) -> Double { values[y * width + x] }

    /// The plane at a size that is not larger. Each new pixel is the mean of its area.
    func reduced(width newWidth: Int, height newHeight: Int) -> Plane {
        precondition((1...width).contains(newWidth) && (1...height).contains(newHeight))
        if newWidth == width, newHeight == height { return self }
        return reducedAcross(to: newWidth).transposed().reducedAcross(to: newHeight).transposed()
    }

    private func reducedAcross(to newWidth: Int) -> Plane {
        if newWidth == width { return self }
        // The unit is 1 / newWidth of an old pixel. An old pixel is newWidth long and a new one width long, so nothing is
        // rounded.
        var result = [Double](repeating: 0, count: newWidth * height)
        for y in 0..<height {
            for target in 0..<newWidth {
                let (start, end) = (target * width, (target + 1) * width)
                var sum = 0.0
                for source in start / newWidth...(end - 1) / newWidth {
                    let covered = min(end, (source + 1) * newWidth) - max(start, source * newWidth)
                    sum += Double(covered) * self[source, y]
                }
                result[y * newWidth + target] = sum / Double(width)
            }
        }
        return Plane(width: newWidth, height: height, values: result)
    }

    func transposed() -> Plane {
        var result = [Double](repeating: 0, count: values.count)
        for y in 0..<height { for x in 0..<width { result[x * height + y] = self[x, y] } }
        return Plane(width: height, height: width, values: result)
    }

    /// The extent of a filtered plane.
    enum Extent {
        /// Only where the whole filter finds pixels: smaller by twice the radius. The plane must be large enough.
        case inside
        /// As large as before. Beyond the border the outermost pixels repeat.
        case same
    }

    /// The plane after a separable Gaussian of `deviation` pixels that reaches `radius` pixels and sums to one.
    func blurred(deviation: Double, radius: (x: Int, y: Int), extent: Extent) -> Plane {
        blurredAcross(Self.gaussian(deviation: deviation, radius: radius.x), extent).transposed()
            .blurredAcross(Self.gaussian(deviation: deviation, radius: radius.y), extent).transposed()
    }

    private func blurredAcross(_ taps: [Double], _ extent: Extent) -> Plane {
        let radius = taps.count / 2
        let newWidth = extent == .inside ? width - 2 * radius : width
        precondition(newWidth > 0)
        let shift = extent == .inside ? 0 : radius
        var result = [Double](repeating: 0, count: newWidth * height)
        for y in 0..<height {
            for x in 0..<newWidth {
                var sum = 0.0
                for (tap, weight) in taps.enumerated() {
                    sum += weight * self[min(max(x + tap - shift, 0), width - 1), y]
                }
                result[y * newWidth + x] = sum
            }
        }
        return Plane(width: newWidth, height: height, values: result)
    }

    /// The normal distribution as `2 · radius + 1` weights that sum to one.
    private static func gaussian(deviation: Double, radius: Int) -> [Double] {
        let weights = (-radius...radius).map { exp(-Double($0 * $0) / (2 * deviation * deviation)) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }
}
