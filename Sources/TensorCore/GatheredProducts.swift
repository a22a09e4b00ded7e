import CKernels

/// Products of f32 by our own kernels, whose bits do not depend on threads or on the number of rows.
///
/// They are for CPUs without AVX-512. There oneDNN's matrix product cuts its sums by the number of rows and threads, so bits
/// would change with both. The kernels read the pixels where they lie: a convolution is a product over gathered pixels, and a
/// linear layer one with a single tap. Both reach the speed of oneDNN's convolutions for AVX2.
final class GatheredProducts: MatrixProducts {
    private let pool: ParallelPool
    private let kernels: UnsafePointer<ck_kernels>
    private let scratch: ThreadScratch

    init(pool: ParallelPool, kernels: UnsafePointer<ck_kernels>, scratch: ThreadScratch) {
        (self.pool, self.kernels, self.scratch) = (pool, kernels, scratch)
    }

    /// Weights as panels of 16 outputs: (out / 16 rounded up, taps, in, 16).
    private struct Panels: PackedWeights {
        let tensor: Tensor
        let count: Int
    }

    private static let panelWidth = Int(CK_PANEL_COLUMNS)

    private static func panelCount(outputs: Int) -> Int { (outputs + panelWidth - 1) / panelWidth }

    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        let (shape, width) = (layer.shape, Self.panelWidth)
        let count = Self.panelCount(outputs: shape[0]) * width * shape.dropFirst().reduce(1, *)
        return WeightFormat(
            layer: layer, elementType: type, byteCount: count * type.byteCount,
            name: "panels \(type) (out / \(width), taps, in, \(width)) of \(shape)", details: nil)
    }

    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor {
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let taps = weight.shape.dropFirst(2).reduce(1, *)
        let (panels, width) = (Self.panelCount(outputs: outputs), Self.panelWidth)
        let packed = Tensor(uninitialized: [panels, taps, inputs, width])
        let (source, target) = (weight.floats.baseAddress!, packed.floats.baseAddress!)
        pool.run(panels) { panel, _ in
            ck_pack_panel(source, outputs, inputs, taps, panel, target + panel * taps * inputs * width)
        }
        return packed
    }

    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights {
        Panels(tensor: packed, count: Self.panelCount(outputs: format.shape[0]))
    }

    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let column = ConvolutionShape(
            n: 1, h: x.count / parameters.inFeatures, w: 1, inChannels: parameters.inFeatures,
            outChannels: parameters.outFeatures, kernelHeight: 1, kernelWidth: 1, stride: 1, dilation: 1, padding: .none)
        try compute(x, column, parameters.weights, parameters.bias, activation, residual, y)
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        try compute(x, shape, parameters.weights, parameters.bias, .none, residual, y)
    }

    private func compute(
        _ x: Tensor, _ shape: ConvolutionShape, _ weights: any PackedWeights, _ bias: Tensor?, _ activation: Activation,
        _ residual: Tensor?, _ y: Tensor
    ) throws(ComputeError) {
        guard let panels = weights as? Panels else { preconditionFailure("weights were packed by another backend") }
        guard y.elementType == .f32 else {
            throw ComputeError("A product of f32 has no implementation for a result of \(y.elementType)")
        }
        var product = ck_gathered_product(
            shape: shape.kernelShape, x: UnsafePointer(x.floats.baseAddress), weights: panels.tensor.floats.baseAddress,
            bias: bias?.floats.baseAddress, residual: residual?.floats.baseAddress, activation: activation.rawValue,
            y: y.floats.baseAddress)
        let grid = StripGrid(
            rows: shape.n * shape.outHeight * shape.outWidth, panels: panels.count, threads: pool.threads)
        scratch.reserve(bytes: kernels.pointee.gathered_scratch_bytes(&product.shape))
        withUnsafePointer(to: product) { product in
            pool.run(grid.tasks) { index, thread in
                let (rows, panels) = grid.task(index)
                kernels.pointee.gathered_strip(
                    product, rows.lowerBound, rows.count, panels.lowerBound, panels.count, scratch.buffer(thread))
            }
        }
    }
}

/// Divides a product into strips of rows, and the strips into groups of panels where they are fewer than the threads need.
private struct StripGrid {
    private let rows: Int
    private let panels: Int
    private let stripRows: Int
    private let strips: Int
    private let groups: Int
    var tasks: Int { strips * groups }

    init(rows: Int, panels: Int, threads: Int) {
        (self.rows, self.panels) = (rows, panels)
        let fewest = max(1, (rows + Int(CK_STRIP_ROWS) - 1) / Int(CK_STRIP_ROWS))
        // Whole tiles: the largest has 12 rows, and 12 is a multiple of the others.
        stripRows = ((rows + fewest - 1) / fewest + 11) / 12 * 12
        strips = stripRows == 0 ? 0 : (rows + stripRows - 1) / stripRows
        groups = min(panels, max(1, (8 * threads + strips - 1) / max(1, strips)))
    }

    /// Neighbouring tasks share their panels, so threads read the same weights at about the same time.
    func task(_ index: Int) -> (rows: Range<Int>, panels: Range<Int>) {
        let (group, strip) = (index / strips, index % strips)
        return (
            strip * stripRows..<min(rows, (strip + 1) * stripRows), group * panels / groups..<(group + 1) * panels / groups
        )
    }
}
