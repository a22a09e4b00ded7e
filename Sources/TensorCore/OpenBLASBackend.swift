import CKernels
import COpenBLAS

/// OpenBLAS: the portable backend and the cross-check.
///
/// Results of OpenBLAS depend on its number of threads, so our pool calls it single-threaded on strips. They also depend on the
/// number of rows, and a row must get the same bits in a small image and in a large one, alone and in a batch. So all strips of
/// a layer have as many rows; the last one is filled up. A convolution is a matrix product over gathered pixels.
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
        let grid = TileGrid(rows: x.count / inner / images, columns: product.columns)
        let input = x.floats.baseAddress!
        scratch.reserve(bytes: grid.scratchBytes(inner: inner))
        compute(product, grid, images: images, residual: residual, into: y) { image, tile, thread in
            let rows = input + (image * grid.rows + tile.firstRow) * inner
            guard tile.rows < TileGrid.stripRows else { return UnsafePointer(rows) }
            let filled = scratch.buffer(thread).assumingMemoryBound(to: Float.self)
            filled.update(from: rows, count: tile.rows * inner)
            return UnsafePointer(filled)
        }
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let inner = shape.kernelHeight * shape.kernelWidth * shape.inChannels
        let product = Product(
            weights: plain(parameters.weights), inner: inner, columns: shape.outChannels, bias: parameters.bias,
            activation: .none)
        let grid = TileGrid(rows: shape.outHeight * shape.outWidth, columns: shape.outChannels)
        let imageFloats = shape.h * shape.w * shape.inChannels
        let input = x.floats.baseAddress!
        scratch.reserve(bytes: grid.scratchBytes(inner: inner))
        compute(product, grid, images: shape.n, residual: residual, into: y) { image, tile, thread in
            var geometry = shape.kernelShape
            let rows = scratch.buffer(thread).assumingMemoryBound(to: Float.self)
            ck_gather_patches(&geometry, input + image * imageFloats, tile.firstRow, tile.rows, rows)
            return UnsafePointer(rows)
        }
    }

    /// Computes the tiles of a product for each image.
    ///
    /// - Parameter rows: gives the rows of a tile, dense. For a tile of fewer rows than a strip they are in the thread's own
    ///   memory, which has room for a strip.
    private func compute(
        _ product: Product, _ grid: TileGrid, images: Int, residual: Tensor?, into y: Tensor,
        rows: (_ image: Int, _ tile: TileGrid.Tile, _ thread: Int) -> UnsafePointer<Float>
    ) {
        let (output, residualRows) = (y.floats.baseAddress!, residual?.floats.baseAddress)
        pool.run(images * grid.tiles) { index, thread in
            let (image, tile) = (index / grid.tiles, grid.tile(index % grid.tiles))
            let offset = (image * grid.rows + tile.firstRow) * product.columns
            let source = rows(image, tile, thread)
            if tile.rows == TileGrid.stripRows {
                product.multiply(source, tile, into: output + offset + tile.firstColumn, stride: product.columns)
            } else {
                let own = scratch.buffer(thread).assumingMemoryBound(to: Float.self)
                let (used, size) = (tile.rows * product.inner, TileGrid.stripRows * product.inner)
                (own + used).update(repeating: 0, count: size - used)
                product.multiply(source, tile, into: own + size, stride: tile.columns)
                for row in 0..<tile.rows {
                    (output + offset + row * product.columns + tile.firstColumn).update(
                        from: own + size + row * tile.columns, count: tile.columns)
                }
            }
            product.finish(tile, in: output + offset, residual: residualRows.map { $0 + offset }, kernels)
        }
    }

    private func plain(_ weights: any PackedWeights) -> Tensor {
        guard let plain = weights as? Tensor else { preconditionFailure("weights were packed by another backend") }
        return plain
    }
}

extension Tensor: PackedWeights {}

/// Cuts a product into strips of rows and of columns. Only the layer decides their size.
private struct TileGrid {
    struct Tile {
        var firstRow: Int
        var rows: Int
        var firstColumn: Int
        var columns: Int
    }

    /// Full registers of every kernel of OpenBLAS, and no more rows than the smallest maps of a U-Net have.
    static let stripRows = 64
    /// Each strip of columns gathers the pixels again.
    private static let mostColumns = 256

    let rows: Int
    private let columns: Int
    private let stripColumns: Int
    private let columnStrips: Int
    let tiles: Int

    init(rows: Int, columns: Int) {
        (self.rows, self.columns) = (rows, columns)
        columnStrips = (columns + Self.mostColumns - 1) / Self.mostColumns
        stripColumns = (columns + columnStrips - 1) / columnStrips
        tiles = (rows + Self.stripRows - 1) / Self.stripRows * columnStrips
    }

    /// Memory of a thread for a strip's rows and its results.
    func scratchBytes(inner: Int) -> Int { Self.stripRows * (inner + stripColumns) * 4 }

    func tile(_ index: Int) -> Tile {
        let (firstRow, firstColumn) = (index / columnStrips * Self.stripRows, index % columnStrips * stripColumns)
        return Tile(
            firstRow: firstRow, rows: min(Self.stripRows, rows - firstRow), firstColumn: firstColumn,
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

    /// The products of a strip.
    ///
    /// - Parameters:
    ///   - x: all rows of the strip, dense.
    ///   - y: the tile's first result.
    ///   - stride: of the rows of y.
    func multiply(_ x: UnsafePointer<Float>, _ tile: TileGrid.Tile, into y: UnsafeMutablePointer<Float>, stride: Int) {
        cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(TileGrid.stripRows), Int32(tile.columns), Int32(inner), 1, x,
            Int32(inner), weights.floats.baseAddress! + tile.firstColumn * inner, Int32(inner), 0, y, Int32(stride))
    }

    /// Adds bias and residual, and applies the activation.
    ///
    /// - Parameter y: the tile's first row in the result, `columns` wide; the same for `residual`.
    func finish(
        _ tile: TileGrid.Tile, in y: UnsafeMutablePointer<Float>, residual: UnsafePointer<Float>?,
        _ kernels: UnsafePointer<ck_kernels>
    ) {
        guard bias != nil || activation != .none || residual != nil else { return }
        let biasPart = bias.map { $0.floats.baseAddress! + tile.firstColumn }
        for row in 0..<tile.rows {
            let offset = row * columns + tile.firstColumn
            kernels.pointee.epilogue(y + offset, 1, tile.columns, biasPart, activation.rawValue, residual.map { $0 + offset })
        }
    }
}
