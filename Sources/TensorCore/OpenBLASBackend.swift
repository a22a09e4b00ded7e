import CKernels
import COpenBLAS

/// OpenBLAS: the portable backend and the cross-check.
///
/// Results of OpenBLAS depend on its number of threads, so our pool calls it single-threaded on strips. Only the shape decides
/// the strips. A convolution is a matrix product over gathered pixels.
final class OpenBLASBackend: ComputeBackend, MatrixProducts {
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

    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts {
        try select("A product by OpenBLAS", of: types, f32: self)
    }

    func packLinear(_ weight: Tensor) throws(ComputeError) -> any PackedWeights { Plain(weight) }

    func packConvolution(_ weight: Tensor) throws(ComputeError) -> any PackedWeights {
        // (o, i, kh, kw) becomes (o, kh, kw, i), the order of gathered pixels.
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
        let grid = TileGrid(rows: rows, inner: product.inner, columns: product.columns)
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        let residualRows = residual?.floats.baseAddress
        pool.run(grid.rowStrips * grid.columnStrips) { index, _ in
            let tile = grid.tile(row: index / grid.columnStrips, column: index % grid.columnStrips)
            product.compute(
                input + tile.firstRow * product.inner, tile, into: output + tile.firstRow * product.columns,
                residual: residualRows.map { $0 + tile.firstRow * product.columns }, kernels)
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
        let grid = TileGrid(rows: pixels, inner: inner, columns: shape.outChannels)
        let imageFloats = shape.h * shape.w * shape.inChannels
        let (input, output) = (x.floats.baseAddress!, y.floats.baseAddress!)
        let residualRows = residual?.floats.baseAddress
        scratch.reserve(floats: grid.stripRows * inner)
        pool.run(shape.n * grid.rowStrips * grid.columnStrips) { index, thread in
            let (image, part) = (index / (grid.rowStrips * grid.columnStrips), index % (grid.rowStrips * grid.columnStrips))
            let tile = grid.tile(row: part / grid.columnStrips, column: part % grid.columnStrips)
            var geometry = geometry
            let rows = scratch.buffer(thread)
            ck_gather_patches(&geometry, input + image * imageFloats, tile.firstRow, tile.rows, rows)
            let offset = (image * pixels + tile.firstRow) * product.columns
            product.compute(rows, tile, into: output + offset, residual: residualRows.map { $0 + offset }, kernels)
        }
    }

    private func plain(_ weights: any PackedWeights) -> Tensor {
        guard let plain = weights as? Plain else { preconditionFailure("weights were packed by another backend") }
        return plain.tensor
    }
}

/// Cuts a product of (rows × inner) and (inner × columns) by its shape alone: into at least eight parts if they keep 32 rows or
/// columns, and into strips with at most 4 MiB of gathered pixels, which stay in the cache.
private struct TileGrid {
    struct Tile {
        var firstRow: Int
        var rows: Int
        var firstColumn: Int
        var columns: Int
    }

    let rows: Int
    let columns: Int
    let stripRows: Int
    let stripColumns: Int
    var rowStrips: Int { (rows + stripRows - 1) / stripRows }
    var columnStrips: Int { (columns + stripColumns - 1) / stripColumns }

    init(rows: Int, inner: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
        // Strips of rows first: a strip of rows packs the weights again, a strip of columns gathers the pixels again.
        let byCount = max(128, (rows + 7) / 8)
        stripRows = min(rows, byCount, max(64, (1 << 20) / max(1, inner)))
        let wanted = max(1, 8 / ((rows + stripRows - 1) / stripRows))
        stripColumns = max(min(32, columns), (columns + wanted - 1) / wanted)
    }

    func tile(row: Int, column: Int) -> Tile {
        let (firstRow, firstColumn) = (row * stripRows, column * stripColumns)
        return Tile(
            firstRow: firstRow, rows: min(stripRows, rows - firstRow), firstColumn: firstColumn,
            columns: min(stripColumns, columns - firstColumn))
    }
}

/// y = activation(x·Wᵀ + b) + residual for one tile.
private struct Product {
    let weights: Tensor
    let inner: Int
    let columns: Int
    let bias: Tensor?
    let activation: Activation

    /// - Parameters:
    ///   - x: the tile's rows, dense.
    ///   - y: the tile's first row in the result, `columns` wide; the same for `residual`.
    func compute(
        _ x: UnsafePointer<Float>, _ tile: TileGrid.Tile, into y: UnsafeMutablePointer<Float>, residual: UnsafePointer<Float>?,
        _ kernels: UnsafePointer<ck_kernels>
    ) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(tile.rows), Int32(tile.columns), Int32(inner), 1, x, Int32(inner),
            weights.floats.baseAddress! + tile.firstColumn * inner, Int32(inner), 0, y + tile.firstColumn, Int32(columns))
        guard bias != nil || activation != .none || residual != nil else { return }
        let biasPart = bias.map { $0.floats.baseAddress! + tile.firstColumn }
        for row in 0..<tile.rows {
            let offset = row * columns + tile.firstColumn
            kernels.pointee.epilogue(y + offset, 1, tile.columns, biasPart, activation.rawValue, residual.map { $0 + offset })
        }
    }
}
