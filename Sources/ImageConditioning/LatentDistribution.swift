import Foundation

/// The normal distribution that an autoencoder gives for a picture's latent: a mean and a variance for each element.
public struct LatentDistribution: Sendable, Equatable {
    /// Planar, in the autoencoder's own scale.
    public var mean: [Float]
    /// Natural logarithms of the variances, in the order of `mean` and of the same count.
    public var logVariance: [Float]

    /// A distribution from its parameters.
    public init(mean: [Float], logVariance: [Float]) {
        precondition(mean.count == logVariance.count)
        self.mean = mean
        self.logVariance = logVariance
    }

    /// `mean + deviation · noise`, still in the autoencoder's scale. `noise` is unit noise of the same size.
    public func sample(noise: [Float]) -> [Float] {
        precondition(noise.count == mean.count)
        return mean.indices.map { mean[$0] + exp(0.5 * logVariance[$0]) * noise[$0] }
    }
}
