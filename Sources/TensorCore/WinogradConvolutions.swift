import CKernels

/// 3×3 convolutions by Winograd's F(2×2, 3×3): 16 matrix products instead of the 36 that the sums have.
///
/// A library's products compute the matrices, and every other convolution. Tiles of pixels are transformed in chunks, which
/// stay in the processor's cache until their results are written. The bits of a result depend only on its own pixels, if the
/// bits of the library's matrix product depend only on its own rows.
///
/// The transforms are sums of few numbers, so the error in f32 is that of the direct sum (`WinogradTests`). Larger tiles save
/// more products, but their error is several times as large. In bf16 transformed pixels and weights are rounded once more, to
/// bf16, so the error of one wide layer is 2.5 times as large. Whole networks round at many other places too: they stay within
/// the tolerances of the golden cases, which are the reference's own errors in bf16 (`goldencheck --precision bf16`).
final class WinogradConvolutions: MatrixProducts {
    let products: any MatrixProducts
    private let pool: ParallelPool
    private let kernels: UnsafePointer<ck_kernels>
    private let memory: BufferPool
    /// The element types of the convolutions that it computes itself.
    let types: Set<ElementType>

    /// Places of a transformed tile.
    private static let places = 16
    /// The most bytes of transformed pixels and products in a chunk.
    private let chunkBytes: Int
    /// Tiles that one thread transforms at a time.
    private static let tilesOfPart = 8
    /// Bytes between one matrix and the next. Matrices that lie a multiple of 4 KiB apart would compete for the same lines of
    /// the first cache.
    private static let gap = 320

    /// - Parameters:
    ///   - products: the library's matrix products of all these types.
    ///   - types: the element types of the convolutions that it computes itself.
    init(
        _ products: any MatrixProducts, types: Set<ElementType>, pool: ParallelPool, kernels: UnsafePointer<ck_kernels>,
        memory: BufferPool, chunkBytes: Int = 16 << 20
    ) {
        (self.products, self.types, self.pool, self.kernels, self.memory) = (products, types, pool, kernels, memory)
        self.chunkBytes = chunkBytes
    }

    /// The 16 matrices of a layer, in the library's order. They are found at the first use: networks that are built only to
    /// pack their weights have none.
    private final class Matrices: PackedWeights {
        private(set) lazy var parameters = makeParameters()
        private let makeParameters: () -> [LinearParameters]
        init(_ makeParameters: @escaping () -> [LinearParameters]) { self.makeParameters = makeParameters }
    }

    /// The library's order of one of the 16 matrices.
    private final class MatrixFormat {
        let format: WeightFormat
        init(_ format: WeightFormat) { self.format = format }
        /// Bytes from one matrix to the next: whole cache lines.
        var stride: Int { (format.byteCount + 63) / 64 * 64 }
    }

    /// Whether a layer is computed this way.
    ///
    /// Its matrices are 16/9 of the weights: more memory, and small maps have too few tiles to pay for reading large ones. So
    /// the map is at least 32×32, or the layer is small. With maps of 16×16 too, a U-Net of Stable Diffusion 1.5 was 3 %
    /// (bf16: 5 %) faster, and a worker 8 % (bf16: 16 %) larger. The use has a layer's usual side, which starts at 64
    /// for every family (`LayerScope`), so that a picture's size does not decide. SDXL's third level counts as 16×16 too: its
    /// weights are the largest.
    private func serves(_ layer: WeightLayer, _ type: ElementType) -> Bool {
        guard case .convolution(let inputs, let outputs, 3, 3, let use) = layer, types.contains(type), use.isFixed,
            use.stride == 1
        else { return false }
        guard inputs >= 16, outputs >= 16 else { return false }
        return use.side >= 32 || inputs * outputs <= 1 << 16
    }

    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        guard serves(layer, type) else { return try products.format(of: layer, type: type) }
        let matrix = MatrixFormat(
            try products.format(of: .linear(inputs: layer.shape[1], outputs: layer.shape[0]), type: type))
        return WeightFormat(
            layer: layer, elementType: type, byteCount: Self.places * matrix.stride,
            name: matrix.format.name.map {
                "winograd 2x2 of \(layer.shape): \(Self.places) at \(matrix.stride) bytes, each \($0)"
            },
            details: matrix)
    }

    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor {
        guard let matrix = format.details as? MatrixFormat else { return try products.pack(weight, into: format) }
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let matrices = converted(transformed(converted(weight, to: .f32)), to: weight.elementType)
        let packed = Tensor(uninitialized: [Self.places, matrix.stride / 4])
        let target = packed.storage.base
        target.initializeMemory(as: UInt8.self, repeating: 0, count: Self.places * matrix.stride)
        for place in 0..<Self.places {
            let one = try products.pack(
                matrices.part(at: place * outputs * inputs, shape: [outputs, inputs]), into: matrix.format)
            (target + place * matrix.stride).copyMemory(from: one.storage.base, byteCount: matrix.format.byteCount)
        }
        return packed
    }

    /// The tensor itself if it has the type already.
    private func converted(_ x: Tensor, to type: ElementType) -> Tensor {
        guard x.elementType != type else { return x }
        let y = Tensor(uninitialized: x.shape, of: type)
        kernels.pointee.convert(x, into: y, on: pool)
        return y
    }

    /// The 16 matrices (places, out, in) of f32 weights.
    private func transformed(_ weight: Tensor) -> Tensor {
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let matrices = Tensor(uninitialized: [Self.places, outputs, inputs])
        let (source, planes) = (weight.floats.baseAddress!, matrices.floats.baseAddress!)
        pool.run(total: outputs, chunk: 16) { first, count, _ in
            ck_winograd_weights(source, outputs, inputs, first, count, planes)
        }
        return matrices
    }

    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights {
        guard let matrix = format.details as? MatrixFormat else { return products.adopt(packed, format) }
        return Matrices { [products] in
            (0..<Self.places).map { place in
                let part = packed.part(at: place * matrix.stride / 4, shape: [matrix.stride / 4])
                return LinearParameters(
                    inFeatures: format.shape[1], outFeatures: format.shape[0], elementType: format.elementType, bias: nil,
                    weights: products.adopt(part, matrix.format))
            }
        }
    }

    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        try products.linear(x, parameters, activation: activation, residual: residual, into: y)
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        guard let matrices = parameters.weights as? Matrices else {
            return try products.convolution(x, shape, parameters, residual: residual, into: y)
        }
        guard y.elementType == .f32 || y.elementType == x.elementType else {
            throw ComputeError("A convolution of \(x.elementType) has no implementation for a result of \(y.elementType)")
        }
        precondition(shape.stride == 1 && shape.dilation == 1, "the layer's weights were packed for a map that keeps its size")
        let (inputs, outputs) = (shape.inChannels, shape.outChannels)
        let (type, geometry) = (x.elementType, shape.winograd)
        let tiles = shape.n * ((shape.outHeight + 1) / 2) * ((shape.outWidth + 1) / 2)
        let chunk = chunkTiles(of: tiles, bytes: inputs * type.byteCount + outputs * ElementType.f32.byteCount)
        let inStep = chunk * inputs + Self.gap / type.byteCount
        let outStep = chunk * outputs + Self.gap / ElementType.f32.byteCount
        let pixels = buffer(Self.places * inStep, of: type)
        let sums = buffer(Self.places * outStep, of: .f32)
        guard !pool.rehearses else { return }
        for first in stride(from: 0, to: tiles, by: chunk) {
            let count = min(chunk, tiles - first)
            transform(x, geometry, tiles: first..<first + count, into: pixels, step: inStep)
            for (place, matrix) in matrices.parameters.enumerated() {
                try products.linear(
                    pixels.part(at: place * inStep, shape: [count, inputs]), matrix, activation: .none, residual: nil,
                    into: sums.part(at: place * outStep, shape: [count, outputs]))
            }
            collect(sums, step: outStep, geometry, tiles: first..<first + count, parameters.bias, residual, into: y)
        }
    }

    /// Tiles of a chunk: chunks are about equal, so that the library sees at most two numbers of rows.
    ///
    /// - Parameter bytes: of the pixels and products of a tile, in one matrix.
    private func chunkTiles(of tiles: Int, bytes: Int) -> Int {
        let most = max(1, chunkBytes / (Self.places * bytes))
        let chunks = (tiles + most - 1) / most
        return (tiles + chunks - 1) / chunks
    }

    private func buffer(_ count: Int, of type: ElementType) -> Tensor {
        Tensor(shape: [count], elementType: type, storage: memory.allocate(byteCount: count * type.byteCount))
    }

    private func transform(_ x: Tensor, _ geometry: ck_winograd, tiles: Range<Int>, into pixels: Tensor, step: Int) {
        let table = kernels.pointee.typed(x.elementType)
        let (source, target) = (x.raw, pixels.raw)
        withUnsafePointer(to: geometry) { geometry in
            pool.run(total: tiles.count, chunk: Self.tilesOfPart) { first, count, _ in
                table.winograd_input(
                    geometry, source.base, tiles.lowerBound + first, count, target + first * geometry.pointee.in_channels,
                    step)
            }
        }
    }

    private func collect(
        _ sums: Tensor, step: Int, _ geometry: ck_winograd, tiles: Range<Int>, _ bias: Tensor?, _ residual: Tensor?,
        into y: Tensor
    ) {
        let table = kernels.pointee.typed(y.elementType)
        let (source, target) = (sums.floats.baseAddress!, y.raw)
        let (bias, residual) = (bias?.floats.baseAddress, residual?.raw)
        withUnsafePointer(to: geometry) { geometry in
            pool.run(total: tiles.count, chunk: Self.tilesOfPart) { first, count, _ in
                table.winograd_output(
                    geometry, source + first * geometry.pointee.out_channels, step, tiles.lowerBound + first, count, bias,
                    residual?.base, target.base)
            }
        }
    }
}

extension ConvolutionShape {
    fileprivate var winograd: ck_winograd {
        ck_winograd(
            h: h, w: w, in_channels: inChannels, out_channels: outChannels, pad_top: padding.top, pad_left: padding.left,
            out_h: outHeight, out_w: outWidth)
    }
}
