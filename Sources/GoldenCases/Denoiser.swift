import Acceleration
import DiffusionModels
import TensorCore

/// U-Net calls with classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598): both halves in one batch, negative
/// first.
struct Denoiser {
    let context: ComputeContext
    let unet: UNet
    /// nil without guidance.
    var negative: Conditioning?
    var positive: Conditioning
    var guidance: Float
    /// Lin et al. 2023 (arXiv 2305.08891), equation 15 and 16; 0 leaves the guided noise as it is.
    var rescale: Float

    /// The guided model output.
    ///
    /// - Parameters:
    ///   - scaled: planar (n, c, h, w), already scaled as the sampler asks.
    func callAsFunction(_ scaled: [Float], shape: [Int], timestep: Double, plan: UNetPlan) throws -> [Float] {
        let sample = Tensor(planar: scaled, n: shape[0], c: shape[1], h: shape[2], w: shape[3])
        guard let negative else {
            return try unet.forward(input(sample, timestep, positive), plan: plan).planarArray
        }
        let both = Conditioning(
            text: stack(negative.text, positive.text), pooled: try stack(negative.pooled, positive.pooled),
            timeIDs: try stack(negative.timeIDs, positive.timeIDs))
        let output = try unet.forward(input(stack(sample, sample), timestep, both), plan: plan).planarArray
        return guide(unconditional: output[..<(output.count / 2)], conditional: output[(output.count / 2)...], rows: shape[0])
    }

    private func input(_ sample: Tensor, _ timestep: Double, _ conditioning: Conditioning) -> UNetInput {
        UNetInput(
            sample: sample, timesteps: [Float(timestep)], text: conditioning.text, textEmbeds: conditioning.pooled,
            timeIDs: conditioning.timeIDs)
    }

    private func stack(_ a: Tensor, _ b: Tensor) -> Tensor {
        Tensor(a.array + b.array, shape: [a.shape[0] + b.shape[0]] + a.shape.dropFirst())
    }

    private func stack(_ a: Tensor?, _ b: Tensor?) throws -> Tensor? {
        switch (a, b) {
        case (nil, nil): return nil
        case (let a?, let b?): return stack(a, b)
        default: throw GoldenError.failed("one guidance half has a pooled text and the other has none")
        }
    }

    private func guide(unconditional: ArraySlice<Float>, conditional: ArraySlice<Float>, rows: Int) -> [Float] {
        var guided = zip(unconditional, conditional).map { $0 + guidance * ($1 - $0) }
        guard rescale > 0 else { return guided }
        let size = guided.count / rows
        for row in 0..<rows {
            let range = (row * size)..<((row + 1) * size)
            let wanted = deviation(conditional.dropFirst(row * size).prefix(size))
            let factor = rescale * Float(wanted / deviation(guided[range])) + (1 - rescale)
            for index in range { guided[index] *= factor }
        }
        return guided
    }

    /// The standard deviation with n − 1.
    private func deviation(_ values: ArraySlice<Float>) -> Double {
        let mean = values.reduce(0.0) { $0 + Double($1) } / Double(values.count)
        let scatter = values.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        return (scatter / Double(values.count - 1)).squareRoot()
    }
}
