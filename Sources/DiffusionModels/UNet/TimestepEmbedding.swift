import Foundation
import TensorCore

extension UNetConfiguration {
    /// Sines and cosines of numbers at geometrically spaced frequencies (Vaswani et al. 2017, as in diffusers'
    /// `get_timestep_embedding`).
    ///
    /// - Parameter width: of one embedding, an even number.
    /// - Returns: (values.count, width) in the context's precision, computed in f32 like the reference: at a timestep near
    ///   1000 the rounding of the frequencies is visible.
    func sinusoids(_ values: [Float], width: Int, _ context: ComputeContext) -> Tensor {
        let half = width / 2
        let result = context.empty([values.count, width])
        let out = result.elements(as: Float.self)
        let scale = Float(-log(10000.0))
        for k in 0..<half {
            let exponent = scale * Float(k) / Float(Double(half) - frequencyShift)
            let frequency = Float(exp(Double(exponent)))
            for (row, value) in values.enumerated() {
                let angle = Double(value * frequency)
                let (sine, cosine) = (Float(sin(angle)), Float(cos(angle)))
                out[row * width + k] = flipSinToCos ? cosine : sine
                out[row * width + half + k] = flipSinToCos ? sine : cosine
            }
        }
        return context.convert(result, to: context.precision)
    }
}

/// Two linear layers with SiLU between them. They make a vector out of the sinusoidal embedding.
struct EmbeddingProjection {
    private let linear1: LinearParameters
    private let linear2: LinearParameters

    init(_ scope: LayerScope, from inputs: Int, to outputs: Int) throws(ModelError) {
        linear1 = try scope.linear("linear_1", from: inputs, to: outputs)
        linear2 = try scope.linear("linear_2", from: outputs, to: outputs)
    }

    func callAsFunction(_ x: Tensor, residual: Tensor? = nil, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        try context.linear(context.linear(x, linear1, activation: .silu), linear2, residual: residual)
    }
}
