import TensorCore

/// Norm, SiLU, convolution, twice; then the input is added. The building block of the U-Net and the VAE.
///
/// If there is a time embedding, it is added between the two convolutions (Ho et al. 2020, arXiv 2006.11239).
struct ResidualBlock {
    let norm1: GroupNorm
    let conv1: ConvolutionParameters
    private let timeProjection: LinearParameters?
    let norm2: GroupNorm
    let conv2: ConvolutionParameters
    let shortcut: LinearParameters?

    /// - Parameter timeWidth: width of the time embedding; nil without one.
    init(
        _ scope: LayerScope, from inputs: Int, to outputs: Int, timeWidth: Int? = nil, groups: Int, epsilon: Float
    ) throws(ModelError) {
        norm1 = try GroupNorm(scope, "norm1", channels: inputs, groups: groups, epsilon: epsilon)
        conv1 = try scope.convolution("conv1", from: inputs, to: outputs)
        timeProjection = try timeWidth.map { (width) throws(ModelError) in
            try scope.linear("time_emb_proj", from: width, to: outputs)
        }
        norm2 = try GroupNorm(scope, "norm2", channels: outputs, groups: groups, epsilon: epsilon)
        conv2 = try scope.convolution("conv2", from: outputs, to: outputs)
        shortcut =
            inputs == outputs ? nil : try scope.linear("conv_shortcut", from: inputs, to: outputs, isConvolution: true)
    }

    /// - Parameters:
    ///   - x: (n, h, w, inputs)
    ///   - time: SiLU of the time embedding, (n, 1, timeWidth) or (1, 1, timeWidth).
    /// - Returns: (n, h, w, outputs)
    func callAsFunction(_ x: Tensor, time: Tensor? = nil, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        var hidden = try context.convolution(norm1(x, silu: true, context), conv1)
        var addend: Tensor?
        if let timeProjection, let time {
            addend = try context.sharing(by: x.shape[0] / time.shape[0]) { () throws(ComputeError) in
                try context.linear(time, timeProjection)
            }
        }
        hidden = norm2(hidden, silu: true, addend: addend, context)
        let identity: Tensor
        if let shortcut { identity = try context.linear(x, shortcut) } else { identity = x }
        return try context.convolution(hidden, conv2, residual: identity)
    }
}
