import CKernels
import COpenBLAS

/// OpenBLAS: the portable backend and the cross-check.
///
/// Results of OpenBLAS depend on its number of threads, so our pool calls it single-threaded on strips. Only the shape of one
/// image decides the strips: its results also depend on the number of rows, and an image must get the same bits alone and in
/// a batch. A convolution is a matrix product over gathered pixels.
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

    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts {
        _ = try commonType("A product by OpenBLAS", of: types, supported: [.f32])
        return self
    }

    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        let shape = layer.shape
        let order = shape.count == 4 ? "out, height, width, in" : "out, in"
        return WeightFormat(
            layer: layer, elementType: type, byteCount: Tensor.elementCount(shape) * type.byteCount,
            name: "openblas \(type) (\(order)) of \(shape)", details: nil)
    }

    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights { packed }

    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor {
        guard weight.shape.count == 4 else { return weight }
        // (out, in, kernelHeight, kernelWidth) becomes (out, kernelHeight, kernelWidth, in), the order of gathered pixels.
        let (outputs, inputs, places) = (weight.shape[0], weight.shape[1], weight.shape[2] * weight.shape[3])
        let packed = Tensor(uninitialized: [outputs, places, inputs])
        transpose(UnsafeBufferPointer(weight.floats), count: outputs, rows: inputs, columns: places, into: packed.floats)
        return packed
    }

    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let inner = parameters.inFeatures
        let product = Product(
            weights: plain(parameters.weights), inner: inner, columns: parameters.outFeatures, bias: parameters.bias,
            activation: activation)
        let images = x.imageCount
        let grid = TileGrid(rows: x.count / inner / images, inner: inner, columns: product.columns)
        let input = x.floats.baseAddress!
        compute(product, grid, images: images, residual: residual, into: y) { image, tile, _ in
            UnsafePointer(input + (image * grid.rows + tile.firstRow) * inner)
        }
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let inner = shape.kernelHeight * shape.kernelWidth * shape.inChannels
        let product = Product(
            weights: plain(parameters.weights), inner: inner, columns: shape.outChannels, bias: parameters.bias,
            activation: .none)
        let grid = TileGrid(rows: shape.outHeight * shape.outWidth, inner: inner, columns: shape.outChannels)
        let imageFloats = shape.h * shape.w * shape.inChannels
        let input = x.floats.baseAddress!
        scratch.reserve(bytes: grid.stripRows * inner * 4)
        compute(product, grid, images: shape.n, residual: residual, into: y) { image, tile, thread in
            var geometry = shape.kernelShape
            let rows = scratch.buffer(thread).assumingMemoryBound(to: Float.self)
            ck_gather_patches(&geometry, input + image * imageFloats, tile.firstRow, tile.rows, rows)
            return UnsafePointer(rows)
        }
    }

    /// Computes the tiles of a product for each image.
    ///
    /// - Parameter rows: gives the rows of a tile, dense. It may write to the thread's own memory.
    private func compute(
        _ product: Product, _ grid: TileGrid, images: Int, residual: Tensor?, into y: Tensor,
        rows: (_ image: Int, _ tile: TileGrid.Tile, _ thread: Int) -> UnsafePointer<Float>
    ) {
        let (output, residualRows) = (y.floats.baseAddress!, residual?.floats.baseAddress)
        pool.run(images * grid.tiles) { index, thread in
            let (image, tile) = (index / grid.tiles, grid.tile(index % grid.tiles))
            let offset = (image * grid.rows + tile.firstRow) * product.columns
            product.compute(
                rows(image, tile, thread), tile, into: output + offset, residual: residualRows.map { $0 + offset }, kernels)
        }
    }

    private func plain(_ weights: any PackedWeights) -> Tensor {
        guard let plain = weights as? Tensor else { preconditionFailure("weights were packed by another backend") }
        return plain
    }
}

extension Tensor: PackedWeights {}

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
    private let columnStrips: Int
    let tiles: Int

    init(rows: Int, inner: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
        // Strips of rows first: a strip of rows packs the weights again, a strip of columns gathers the pixels again.
        let byCount = max(128, (rows + 7) / 8)
        stripRows = min(rows, byCount, max(64, (1 << 20) / max(1, inner)))
        let rowStrips = (rows + stripRows - 1) / stripRows
        let wanted = max(1, 8 / rowStrips)
        stripColumns = max(min(32, columns), (columns + wanted - 1) / wanted)
        columnStrips = (columns + stripColumns - 1) / stripColumns
        tiles = rowStrips * columnStrips
    }

    func tile(_ index: Int) -> Tile {
        let (firstRow, firstColumn) = (index / columnStrips * stripRows, index % columnStrips * stripColumns)
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
