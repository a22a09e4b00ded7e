import Foundation
import TensorCore
import Weights

/// Sinusoidal embeddings of numbers (Vaswani et al. 2017), as diffusers' `get_timestep_embedding`.
struct SinusoidalEmbedding {
    let width: Int
    let flipsSineToCosine: Bool
    let frequencyShift: Float

    /// - Returns: one row of `width` values for each number.
    func rows(_ values: [Float]) -> [Float] {
        let half = width / 2
        // Frequencies fall geometrically from 1 to 1/10000; exponents and products are f32 as in the reference.
        let frequencies = (0..<half).map { index in
            exp(-Float(log(10000.0)) * Float(index) / (Float(half) - frequencyShift))
        }
        return values.flatMap { value in
            let angles = frequencies.map { value * $0 }
            let (sines, cosines) = (angles.map { sin($0) }, angles.map { cos($0) })
            return flipsSineToCosine ? cosines + sines : sines + cosines
        }
    }
}

/// The two linear layers that turn a sinusoidal embedding into the time embedding.
struct TimestepEmbedding {
    private let first: LinearParameters
    private let second: LinearParameters

    init(_ weights: WeightScope, inWidth: Int, width: Int, _ context: ComputeContext) throws {
        first = try context.linear(weights["linear_1"], inWidth, width)
        second = try context.linear(weights["linear_2"], width, width)
    }

    func forward(_ x: Tensor, _ context: ComputeContext) throws -> Tensor {
        try context.linear(context.linear(x, first, activation: .silu), second)
    }
}
