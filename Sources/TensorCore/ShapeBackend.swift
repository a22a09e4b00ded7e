/// Keeps no weights and computes nothing: networks are built with it to find out whether their weights are there and have the
/// right shapes.
final class ShapeBackend: ComputeBackend, MatrixProducts {
    let name = "shapes"
    let identity = "shapes"

    private final class Nothing: PackedWeights {}

    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts { self }

    func packLinear(_ weight: Tensor) throws(ComputeError) -> any PackedWeights { Nothing() }
    func packConvolution(_ weight: Tensor) throws(ComputeError) -> any PackedWeights { Nothing() }

    func linear(
        _ x: Tensor, rows: Int, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) { throw ShapeBackend.refusal }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) { throw ShapeBackend.refusal }

    private static let refusal = ComputeError("a network that was built of shapes alone computes nothing")
}
