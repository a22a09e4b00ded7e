/// Applies weights to an encoded prompt, as A1111's web UI does ("original" emphasis): each token's vector is multiplied by
/// its weight, then the whole chunk by one factor that restores its mean. Each text encoder's part of the vectors has a mean
/// of its own.
public enum Emphasis {
    /// Applies weights to one encoder's part of one chunk.
    ///
    /// Means are 64-bit sums in memory order, so every machine gets the same. A mean that becomes 0 gives numbers that are
    /// not finite.
    ///
    /// - Parameters:
    ///   - weights: one for each token.
    ///   - values: vectors of `stride` numbers. The encoder's part is `width` numbers from `start` on.
    public static func apply(_ weights: [Float], to values: inout [Float], start: Int, width: Int, stride: Int) {
        guard weights.contains(where: { $0 != 1 }) else { return }
        var (before, after) = (0.0, 0.0)
        for (token, weight) in weights.enumerated() {
            for index in (start + token * stride)..<(start + token * stride + width) {
                before += Double(values[index])
                values[index] *= weight
                after += Double(values[index])
            }
        }
        // Both sums have the same number of terms, so their ratio is the ratio of the means.
        let factor = Float(before / after)
        for token in weights.indices {
            for index in (start + token * stride)..<(start + token * stride + width) { values[index] *= factor }
        }
    }
}
