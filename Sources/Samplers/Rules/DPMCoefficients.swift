import Foundation

/// Shares of one step of DPM-Solver (Lu et al. 2022). `h` is the growth of the logarithm of the signal-to-noise ratio.
///
/// The step is `sample · x + value · m + first · m' + second · m'' + noise · z`. m is the network's view of the noise-free
/// sample (or of the noise) at the start of the step, m' and m'' are its scaled derivatives, and z is unit noise.
struct DPMCoefficients {
    let algorithm: SchedulerConfiguration.SolverAlgorithm
    private let h: Double
    private let start: NoiseLevel
    private let end: NoiseLevel

    init(_ algorithm: SchedulerConfiguration.SolverAlgorithm, from start: NoiseLevel, to end: NoiseLevel) {
        (self.algorithm, self.start, self.end) = (algorithm, start, end)
        h = end.logSNR - start.logSNR
    }

    var sample: Double {
        switch algorithm {
        case .original: end.noise / start.noise
        case .stochasticOriginal: end.noise / start.noise * exp(-h)
        case .noise, .stochasticNoise: end.signal / start.signal
        }
    }

    var value: Double {
        switch algorithm {
        case .original: -end.signal * expm1(-h)
        case .stochasticOriginal: -end.signal * expm1(-2 * h)
        case .noise: -end.noise * expm1(h)
        case .stochasticNoise: -2 * end.noise * expm1(h)
        }
    }

    /// The derivative's share: half the value's share at the midpoint, or the exact integral ("heun").
    func first(heun: Bool) -> Double {
        guard heun else { return value / 2 }
        return switch algorithm {
        case .original: end.signal * (expm1(-h) / h + 1)
        case .stochasticOriginal: end.signal * (expm1(-2 * h) / (2 * h) + 1)
        case .noise: -end.noise * (expm1(h) / h - 1)
        case .stochasticNoise: -2 * end.noise * (expm1(h) / h - 1)
        }
    }

    /// The second derivative's share. The stochastic form that is linear in the noise has none.
    var second: Double {
        switch algorithm {
        case .original: -end.signal * ((expm1(-h) + h) / (h * h) - 0.5)
        // diffusers' number, so that pictures are equal. The integral would have a plus as its last sign.
        case .stochasticOriginal: end.signal * (-(expm1(-2 * h) + 2 * h) / (4 * h * h) - 0.5)
        case .noise, .stochasticNoise: -end.noise * ((expm1(h) - h) / (h * h) - 0.5)
        }
    }

    var noise: Double {
        switch algorithm {
        case .original, .noise: 0
        case .stochasticOriginal: end.noise * (-expm1(-2 * h)).squareRoot()
        case .stochasticNoise: end.noise * expm1(2 * h).squareRoot()
        }
    }
}
