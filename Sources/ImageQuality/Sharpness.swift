/// Measures the fine detail of a picture.
public enum Sharpness {
    /// The mean square of the brightness that a Gaussian blur of σ = 1 pixel removes, in squared 8-bit levels a pixel: 0 for
    /// a plain picture, more for sharp outlines and texture, and for noise.
    ///
    /// It is measured at the picture's own size. Of two pictures with the same content and size, the blurred one has less.
    /// Pictures of different sizes do not compare.
    public static func highFrequencyEnergy(_ image: RGBImage) -> Double {
        let luma = image.luma
        let blurred = luma.blurred(deviation: 1, radius: (x: radius, y: radius), extent: .same)
        let energy = zip(luma.values, blurred.values).reduce(0.0) { $0 + square($1.0 - $1.1) }
        return energy / Double(luma.values.count)
    }

    /// Four deviations.
    private static let radius = 4
}
