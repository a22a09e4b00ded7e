import CKernels
import COpenBLAS

/// OpenBLAS: the portable backend and the cross-check.
///
/// OpenBLAS's own threads change its results with their number, so it is called single-threaded on strips whose extents depend on
/// the shape only; our pool runs the strips. A convolution is a matrix product over gathered pixels.
final class OpenBLASBackend: ComputeBackend {
    let name = "openblas"
    let identity: String
    private let pool: ParallelPool
    private let kernels: UnsafePointer<ck_kernels>
    private let scratch: ThreadScratch

    init(pool: ParallelPool, kernels: UnsafePointer<ck_kernels>, scratch: ThreadScratch) {
        openblas_set_num_threads(1)
        (self.pool, self.kernels, self.scratch) = (pool, kernels, scratch)
        let core = String(cString: openblas_get_corename()).lowercased()
        let version = String(cString: openblas_get_config()).split(separator: " ").dropFirst().first ?? "unknown"
        identity = "openblas\(version)-\(core)"
    }

    private final class Plain: PackedWeights {
        let tensor: Tensor
        init(_ tensor: Tensor) { self.tensor = tensor }
    }

    func packLinear(_ weight: Tensor) throws(ComputeError) -> any PackedWeights { Plain(weight) }

    func packConvolution(_ weight: Tensor) throws(ComputeError) -> any PackedWeights {
        // (o, i, kh, kw) becomes (o, kh, kw, i): the order in which pixels are gathered.
        let (o, i, kh, kw) = (weight.shape[0], weight.shape[1], weight.shape[2], weight.shape[3])
        guard kh * kw > 1 else { return Plain(weight.reshaped([o, i])) }
        let packed = Tensor(uninitialized: [o, kh * kw * i])
        let (source, target) = (weight.floats, packed.floats)
        for a in 0..<o {
            for b in 0..<i {
                for t in 0..<(kh * kw) { target[(a * kh * kw + t) * i + b] = source[(a * i + b) * kh * kw + t] }
            }
        }
        return Plain(packed)
    }

    func linear(
        _ x: Tensor, rows: Int, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let product = Product(
            weights: plain(parameters.weights), inner: parameters.inFeatures, columns: parameters.outFeatures,
            bias: parameters.bias, activation: activation)
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        let residualRows = residual?.floats.baseAddress
        let strip = Product.stripRows(rows: rows, inner: product.inner, columns: product.columns)
        pool.run(total: rows, chunk: strip) { first, count, _ in
            product.compute(
                input + first * product.inner, rows: count, into: output + first * product.columns,
                residual: residualRows.map { $0 + first * product.columns }, kernels)
        }
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let inner = shape.kernelHeight * shape.kernelWidth * shape.inChannels
        let product = Product(
            weights: plain(parameters.weights), inner: inner, columns: shape.outChannels, bias: parameters.bias,
            activation: .none)
        let geometry = shape.kernelShape
        let pixels = shape.outHeight * shape.outWidth
        let strip = Product.stripRows(rows: pixels, inner: inner, columns: shape.outChannels)
        let stripsPerImage = (pixels + strip - 1) / strip
        let imageFloats = shape.h * shape.w * shape.inChannels
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        let residualRows = residual?.floats.baseAddress
        let gather = inner != shape.inChannels || shape.stride != 1 || shape.padding != .none
        if gather { scratch.reserve(floats: strip * inner) }
        pool.run(shape.n * stripsPerImage) { index, thread in
            let (image, first) = (index / stripsPerImage, index % stripsPerImage * strip)
            let count = min(strip, pixels - first)
            let source = input + image * imageFloats
            var rows = UnsafePointer(source + first * shape.inChannels)
            if gather {
                var geometry = geometry
                let buffer = scratch.buffer(thread)
                ck_gather_patches(&geometry, source, first, count, buffer)
                rows = UnsafePointer(buffer)
            }
            let offset = (image * pixels + first) * product.columns
            product.compute(rows, rows: count, into: output + offset, residual: residualRows.map { $0 + offset }, kernels)
        }
    }

    private func plain(_ weights: any PackedWeights) -> Tensor {
        guard let plain = weights as? Plain else { preconditionFailure("weights were packed by another backend") }
        return plain.tensor
    }
}

/// y = activation(x·Wᵀ + b) + residual for one strip of rows.
private struct Product {
    let weights: Tensor
    let inner: Int
    let columns: Int
    let bias: Tensor?
    let activation: Activation

    /// Rows of one strip, by the shape alone: enough of them to keep a few cores busy, not so few that packing the weights for
    /// each strip costs more than multiplying, and few enough that gathered pixels (at most 4 MiB) stay in the cache.
    static func stripRows(rows: Int, inner: Int, columns: Int) -> Int {
        let byCache = max(64, (1 << 20) / max(1, inner))
        let byCount = (rows + 7) / 8
        return max(16, min(byCache, max(64, byCount)))
    }

    func compute(
        _ x: UnsafePointer<Float>, rows: Int, into y: UnsafeMutablePointer<Float>, residual: UnsafePointer<Float>?,
        _ kernels: UnsafePointer<ck_kernels>
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(columns), Int32(inner), 1, x, Int32(inner),
            weights.floats.baseAddress, Int32(inner), 0, y, Int32(columns))
        guard bias != nil || activation != .none || residual != nil else { return }
        kernels.pointee.epilogue(y, rows, columns, bias?.floats.baseAddress, activation.rawValue, residual)
    }
}
