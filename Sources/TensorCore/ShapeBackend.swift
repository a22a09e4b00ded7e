/// Keeps no weights and computes nothing. Building a network with it checks the presence and shapes of its weights.
final class ShapeBackend: ComputeBackend, MatrixProducts {
    let name = "shapes"
    let identity = "shapes"

    private struct Nothing: PackedWeights {}

    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts { self }

    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        WeightFormat(layer: layer, elementType: type, byteCount: 0, name: nil, details: nil)
    }

    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor { weight }

    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights { Nothing() }

    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) { throw ShapeBackend.refusal }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) { throw ShapeBackend.refusal }

    private static let refusal = ComputeError("a network that was built from shapes alone cannot compute")
}
