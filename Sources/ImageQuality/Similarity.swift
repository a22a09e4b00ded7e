/// Measures how much a picture looks like another.
public enum Similarity {
    /// The structural similarity index (Wang, Bovik, Sheikh and Simoncelli 2004) of the brightness of two pictures: 1 for
    /// equal pictures, about 0 for unrelated ones, at least -1.
    ///
    /// As published: a Gaussian window of 11 × 11 pixels with σ = 1.5, K1 = 0.01, K2 = 0.03, variances of the population, and
    /// the mean over all places where the window fits. If sizes differ, each side is reduced to the shorter one's length by
    /// the mean over areas. So a picture at four times the native size is compared with the native one at the native size. If
    /// a side is shorter than the window, the window is cut to the longest odd length that fits.
    public static func structural(_ image: RGBImage, reference: RGBImage) -> Double {
        let (width, height) = (min(image.width, reference.width), min(image.height, reference.height))
        let one = image.luma.reduced(width: width, height: height)
        let other = reference.luma.reduced(width: width, height: height)
        return mean(one, other)
    }

    private static let deviation = 1.5
    private static let radius = 5
    private static let (luminanceFloor, contrastFloor) = (square(0.01 * 255), square(0.03 * 255))

    private static func mean(_ one: Plane, _ other: Plane) -> Double {
        let reach = (x: min(radius, (one.width - 1) / 2), y: min(radius, (one.height - 1) / 2))
        func local(_ values: [Double]) -> [Double] {
            Plane(width: one.width, height: one.height, values: values)
                .blurred(deviation: deviation, radius: reach, extent: .inside).values
        }
        let (means, otherMeans) = (local(one.values), local(other.values))
        let squares = local(one.values.map(square))
        let otherSquares = local(other.values.map(square))
        let products = local(zip(one.values, other.values).map { $0 * $1 })
        var sum = 0.0
        for index in means.indices {
            let (mean, otherMean) = (means[index], otherMeans[index])
            // Rounding may leave a zero variance a little below zero.
            let variances = max(0, squares[index] - square(mean)) + max(0, otherSquares[index] - square(otherMean))
            let covariance = products[index] - mean * otherMean
            let luminance = (2 * mean * otherMean + luminanceFloor) / (square(mean) + square(otherMean) + luminanceFloor)
            sum += luminance * (2 * covariance + contrastFloor) / (variances + contrastFloor)
        }
        return sum / Double(means.count)
    }
}

func square(_ value: Double) -> Double { value * value }
