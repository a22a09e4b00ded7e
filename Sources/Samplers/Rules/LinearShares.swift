import Foundation

/// A quantity that is a share of the sample plus a share of the network's output.
struct LinearShares: Sendable, Equatable {
    var sample: Double
    var output: Double

    func callAsFunction(_ sample: [Float], _ output: [Float]) -> [Float] {
        combination([(self.sample, sample), (self.output, output)])
    }
}

/// The sum of arrays of equal length, each times a number, in double precision. A share of zero leaves its array out.
///
/// The sums in double precision are made block by block: of a large canvas they would be as large as two more.
func combination(_ terms: [(share: Double, values: [Float])]) -> [Float] {
    guard let count = terms.first?.values.count else { return [] }
    precondition(terms.allSatisfy { $0.values.count == count }, "arrays of different lengths have no sum")
    let used = terms.filter { $0.share != 0 }
    let block = 4096
    var sums = [Double](repeating: 0, count: min(block, count))
    return [Float](unsafeUninitializedCapacity: count) { result, initialized in
        for start in stride(from: 0, to: count, by: block) {
            let size = min(block, count - start)
            for index in 0..<size { sums[index] = 0 }
            for (share, values) in used {
                for index in 0..<size { sums[index] += share * Double(values[start + index]) }
            }
            for index in 0..<size { result.initializeElement(at: start + index, to: Float(sums[index])) }
        }
        initialized = count
    }
}

/// Terms of a `combination`: each of `values` with its weight. Values without a weight are left out.
func weighted(_ values: some Sequence<[Float]>, by weights: [Double]) -> [(share: Double, values: [Float])] {
    zip(weights, values).map { ($0, $1) }
}

/// Values limited to `-limit...limit`. NaN stays NaN, so that it stays visible.
func clamped(_ values: [Float], to limit: Float?) -> [Float] {
    guard let limit else { return values }
    return values.map { abs($0) > limit ? ($0 < 0 ? -limit : limit) : $0 }
}

/// The amounts of signal and noise in a sample.
struct NoiseLevel: Sendable, Equatable {
    var signal: Double
    var noise: Double

    /// Signal and noise whose squares add up to one, and whose ratio is `sigma`.
    init(preserving sigma: Float) {
        let sigma = Double(sigma)
        signal = 1 / (sigma * sigma + 1).squareRoot()
        noise = sigma * signal
    }

    /// Whole signal with noise of `sigma` on it.
    init(exploding sigma: Float) { (signal, noise) = (1, Double(sigma)) }

    /// A level of the training schedule, from the remaining share of signal variance.
    init(product: Float) {
        (signal, noise) = (Double(product).squareRoot(), (1 - Double(product)).squareRoot())
    }

    /// The same, rounded to 32-bit floats at each operation, as in diffusers' DDIM and PNDM.
    init(roundedProduct product: Float) {
        (signal, noise) = (Double(product.squareRoot()), Double((1 - product).squareRoot()))
    }

    /// The logarithm of the signal-to-noise ratio.
    var logSNR: Double { log(signal / noise) }

    /// The quantity that a solver is linear in, as shares: the noise-free sample or the noise.
    func view(ofOriginal: Bool, _ prediction: PredictionType) -> LinearShares {
        ofOriginal ? original(prediction) : epsilon(prediction)
    }

    /// The noise-free sample as shares.
    func original(_ prediction: PredictionType) -> LinearShares {
        switch prediction {
        case .epsilon: LinearShares(sample: 1 / signal, output: -noise / signal)
        case .velocity: LinearShares(sample: signal, output: -noise)
        case .sample: LinearShares(sample: 0, output: 1)
        }
    }

    /// The noise as shares.
    func epsilon(_ prediction: PredictionType) -> LinearShares {
        switch prediction {
        case .epsilon: LinearShares(sample: 0, output: 1)
        case .velocity: LinearShares(sample: noise, output: signal)
        case .sample: LinearShares(sample: 1 / noise, output: -signal / noise)
        }
    }

    /// The noise-free sample as shares, for a sample with whole signal and noise of `sigma`. The network received that sample
    /// scaled to unit variance.
    static func original(_ prediction: PredictionType, sigma: Float) -> LinearShares {
        let sigma = Double(sigma)
        let square = sigma * sigma + 1
        return switch prediction {
        case .epsilon: LinearShares(sample: 1, output: -sigma)
        case .velocity: LinearShares(sample: 1 / square, output: -sigma / square.squareRoot())
        case .sample: LinearShares(sample: 0, output: 1)
        }
    }
}

/// The two parts of an ancestral step from `sigma` to `next`: first down without noise, then up by fresh noise (k-diffusion).
struct AncestralStep: Sendable, Equatable {
    var down: Double
    var up: Double

    /// Computed in 32-bit floats like the references: `down` is the small difference of two squares, so its rounding is
    /// visible.
    ///
    /// - Parameter eta: 0 adds no noise, 1 the most.
    init(from sigma: Double, to next: Double, eta: Double = 1) {
        let (from, to) = (Float(sigma), Float(next))
        let square = to * to * (from * from - to * to) / (from * from)
        let noise = min(to, Float(eta) * max(square, 0).squareRoot())
        up = Double(noise)
        down = eta == 0 ? next : Double(max(to * to - noise * noise, 0).squareRoot())
    }
}
