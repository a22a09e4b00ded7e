import Foundation

/// The noise of every training step: `alphasCumprod[t]` is the remaining share of signal variance at step `t`.
///
/// Computed in 32-bit floats, with the running product in doubles, as in diffusers (PyTorch's `cumprod` on CPU).
public struct NoiseSchedule: Sendable, Equatable {
    /// One value for each training step, falling.
    public let alphasCumprod: [Float]

    /// The schedule of a configuration. With methods on sigmas the last value is never zero; with other methods it can be
    /// (zero terminal SNR).
    init(_ configuration: SchedulerConfiguration, method: SamplingMethod) throws(SamplerError) {
        var betas = Self.betas(configuration)
        guard betas.allSatisfy({ $0 > 0 && $0 < 1 }) else {
            throw SamplerError(
                .badConfiguration,
                "scheduler_config.json: beta_start \(configuration.betaStart) and beta_end \(configuration.betaEnd) give betas "
                    + "that are not between 0 and 1."
            )
        }
        if configuration.rescalesToZeroSNR { betas = try Self.zeroTerminal(betas) }
        var products = Self.runningProducts(betas)
        // The smallest 16-bit float replaces zero. So the first sigma is 4096, not infinite.
        if configuration.rescalesToZeroSNR && method.traits.hasSigmas { products[products.count - 1] = 0x1p-24 }
        alphasCumprod = products
    }

    /// `sqrt((1 - a) / a)` for each training step, in 32-bit floats.
    public var sigmas: [Float] { alphasCumprod.map { ((1 - $0) / $0).squareRoot() } }

    private static func betas(_ configuration: SchedulerConfiguration) -> [Float] {
        if let trained = configuration.trainedBetas { return trained }
        let count = configuration.trainSteps
        switch configuration.betaSchedule {
        case .linear:
            return linspace(Float(configuration.betaStart), Float(configuration.betaEnd), count: count)
        case .scaledLinear:
            let start = Float(configuration.betaStart.squareRoot())
            let end = Float(configuration.betaEnd.squareRoot())
            return linspace(start, end, count: count).map { $0 * $0 }
        case .squaredCosine:
            return (0..<count).map { step in
                let now = cosineProduct(Double(step) / Double(count))
                let after = cosineProduct(Double(step + 1) / Double(count))
                return Float(min(1 - after / now, 0.999))
            }
        }
    }

    /// Nichol and Dhariwal's cosine schedule: the remaining signal at `time` in `0...1`.
    private static func cosineProduct(_ time: Double) -> Double {
        let cosine = cos((time + 0.008) / 1.008 * Double.pi / 2)
        return cosine * cosine
    }

    /// Algorithm 1 of Lin et al. 2023: shifts and scales the square roots, so that the last becomes zero and the first stays.
    private static func zeroTerminal(_ betas: [Float]) throws(SamplerError) -> [Float] {
        var roots = runningProducts(betas).map { $0.squareRoot() }
        let (first, last) = (roots[0], roots[roots.count - 1])
        guard first > last else {
            throw SamplerError(
                .badConfiguration, "scheduler_config.json: rescale_betas_zero_snr needs two or more training steps.")
        }
        let scale = first / (first - last)
        roots = roots.map { ($0 - last) * scale }
        let products = roots.map { $0 * $0 }
        return products.indices.map { $0 == 0 ? 1 - products[0] : 1 - products[$0] / products[$0 - 1] }
    }

    private static func runningProducts(_ betas: [Float]) -> [Float] {
        var product = 1.0
        return betas.map { beta in
            product *= Double(1 - beta)
            return Float(product)
        }
    }

    /// `torch.linspace` in 32-bit floats. Like PyTorch's vector kernels it counts up in the first half and down in the
    /// second, with fused multiply-adds. So it is equal bit for bit.
    static func linspace(_ start: Float, _ end: Float, count: Int) -> [Float] {
        if count == 1 { return [start] }
        let step = (end - start) / Float(count - 1)
        return (0..<count).map { index in
            index < count / 2
                ? start.addingProduct(step, Float(index)) : end.addingProduct(-step, Float(count - index - 1))
        }
    }
}
