/// Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) with the rescaling of Lin et al. 2023 (arXiv 2305.08891,
/// equations 15 and 16).
struct Guidance {
    /// g in u + g · (c − u).
    let scale: Float
    /// φ: 0 leaves the guided prediction as it is, 1 gives it the deviation of the prompt's own prediction.
    let rescale: Float

    /// The guided prediction of one sample from the negative prompt's prediction, followed by the prompt's.
    ///
    /// Deviations are over all channels and points; in their ratio the sample size cancels out. A prediction that is the same
    /// everywhere has a deviation of 0, which gives numbers that are not finite.
    func combined(_ halves: [Float]) -> [Float] {
        let half = halves.count / 2
        var guided = (0..<half).map { halves[$0] + scale * (halves[half + $0] - halves[$0]) }
        guard rescale > 0 else { return guided }
        let ratio = Float((Guidance.scatter(halves[half...]) / Guidance.scatter(guided[...])).squareRoot())
        let factor = rescale * ratio + (1 - rescale)
        for index in guided.indices { guided[index] *= factor }
        return guided
    }

    /// The sum of squared distances from the mean, in 64 bits and in memory order.
    private static func scatter(_ values: ArraySlice<Float>) -> Double {
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        return values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    }
}
