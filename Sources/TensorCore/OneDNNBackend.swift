import CKernels
import COneDNN
import CSystem

/// oneDNN: direct convolutions and matrix products with fused bias, activation and residual.
///
/// Makes an operation once for each shape and keeps it. If there are too many, it drops the least recently used ones, so the
/// memory of a worker stays bounded. Weights are in the format of `OneDNNFormats`. A matrix product takes them in this format.
/// A convolution would become slow with any format but its own choice. Its choice rarely differs; if it does, the weights are
/// kept in that format too.
final class OneDNNBackend: ComputeBackend, MatrixProducts {
    let name = "onednn"
    let identity: String
    private let engine: OpaquePointer
    let instructionSet: OneDNNInstructionSet
    /// Our own products of f32, where the library's are not taken.
    private let ownProducts: GatheredProducts?
    private let pool: ParallelPool
    private var threads: Int32 { Int32(pool.threads) }
    private let formats: OneDNNFormats
    private var operations: [OperationKey: Operation] = [:]
    private let operationLimit: Int
    /// The operations of a rehearsal.
    private var rehearsed: Set<OperationKey> = []
    /// Counts uses of operations, to find the least recently used ones.
    private var useCount: UInt64 = 0
    private(set) var preparations = 0
    var reorders: Int { Int(conednn_reorder_count(engine)) }
    /// The number of kept operations.
    var operationCount: Int { operations.count }

    private enum OperationKey: Hashable {
        case linear(rows: Int, in: Int, out: Int, Form)
        case convolution(ConvolutionShape, Form)
    }

    /// The differences that two operations of one shape may have.
    private struct Form: Hashable {
        var bias: Bool
        var residual: Bool
        var activation: Activation
        var type: ElementType
        var resultType: ElementType
    }

    /// - Parameters:
    ///   - pool: gives the number of threads, and runs our own products.
    ///   - operationLimit: operations kept at once, at least 2; one picture needs 100 to 300.
    init(
        pool: ParallelPool, kernels: UnsafePointer<ck_kernels>, scratch: ThreadScratch, operationLimit: Int = 1024
    ) throws(ComputeError) {
        precondition(operationLimit >= 2)
        self.operationLimit = operationLimit
        self.pool = pool
        csystem_set_openmp_threads(Int32(pool.threads))
        var engine: OpaquePointer?
        try check(conednn_engine_create(&engine), "starting oneDNN")
        self.engine = engine!
        formats = OneDNNFormats(engine!)
        var (major, minor, patch): (Int32, Int32, Int32) = (0, 0, 0)
        conednn_version(&major, &minor, &patch)
        let setName = String(cString: conednn_instruction_set())
        identity = "onednn\(major).\(minor).\(patch)-\(setName)"
        instructionSet = OneDNNInstructionSet(setName)
        ownProducts =
            instructionSet.hasStableProducts ? nil : GatheredProducts(pool: pool, kernels: kernels, scratch: scratch)
    }

    deinit {
        operations.removeAll()
        conednn_engine_destroy(engine)
    }

    func products(of types: [ElementType]) throws(ComputeError) -> any MatrixProducts {
        let type = try commonType("A product by oneDNN", of: types, supported: [.f32, .bf16])
        if type == .f32, let ownProducts { return ownProducts }
        return self
    }

    func format(of layer: WeightLayer, type: ElementType) throws(ComputeError) -> WeightFormat {
        defer { csystem_set_openmp_threads(threads) }
        guard case .linear(let inputs, _) = layer, isConvolution(type, inFeatures: inputs) else {
            return try formats.format(of: layer, type: type, asColumn: false)
        }
        return try formats.format(of: layer, type: type, asColumn: true)
    }

    func pack(_ weight: Tensor, into format: WeightFormat) throws(ComputeError) -> Tensor {
        csystem_set_openmp_threads(threads)
        let packed = Tensor(uninitialized: [max(1, (format.byteCount + 3) / 4)])
        try OneDNNFormat.of(format).pack(weight, into: packed, engine)
        return packed
    }

    func adopt(_ packed: Tensor, _ format: WeightFormat) -> any PackedWeights {
        Packed(engine: engine, first: packed, OneDNNFormat.of(format))
    }

    /// Whether a linear layer is computed as a 1×1 convolution of one column of pixels.
    ///
    /// With AMX, oneDNN's matrix product of bf16 cuts wide inputs into chunks, whose length depends on the number of rows, of
    /// threads and on the cache: so would the last bits. Where AVX-512 emulates bf16, a single row is summed in another order
    /// than several. The convolution of the same numbers gives the same bits for all. With AVX512-BF16 the matrix product
    /// does, and the convolution does not. All this was measured with oneDNN 2.6.3, which promises neither:
    /// `PrecisionProductTests` compare the bits.
    private func isConvolution(_ type: ElementType, inFeatures: Int) -> Bool {
        type == .bf16 && (instructionSet.emulatesBF16 || instructionSet.hasTiles && inFeatures > 768)
    }

    func linear(
        _ x: Tensor, _ parameters: LinearParameters, activation: Activation, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let (rows, inputs, outputs) = (x.count / parameters.inFeatures, parameters.inFeatures, parameters.outFeatures)
        let form = Form(
            bias: parameters.bias != nil, residual: residual != nil, activation: activation, type: x.elementType,
            resultType: y.elementType)
        if isConvolution(x.elementType, inFeatures: inputs) {
            let column = ConvolutionShape.column(rows: rows, from: inputs, to: outputs)
            return try convolution(x, column, form, parameters.weights, parameters.bias, residual: residual, into: y)
        }
        let format = packed(parameters.weights).firstFormat
        guard
            let operation = try operation(
                .linear(rows: rows, in: inputs, out: outputs, form),
                create: { (out: inout OpaquePointer?) in
                    var shape = conednn_linear_shape(
                        rows: Int64(rows), in: Int64(inputs), out: Int64(outputs), has_bias: form.bias ? 1 : 0,
                        has_residual: form.residual ? 1 : 0, activation: activation.rawValue, type: Int32(form.type.rawValue),
                        result_type: Int32(form.resultType.rawValue), describes_only: 0)
                    return conednn_linear_create(engine, &shape, format, &out)
                })
        else { return }
        try execute(operation, x, parameters.weights, parameters.bias, residual, y)
    }

    func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ parameters: ConvolutionParameters, residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        let form = Form(
            bias: parameters.bias != nil, residual: residual != nil, activation: .none, type: x.elementType,
            resultType: y.elementType)
        try convolution(x, shape, form, parameters.weights, parameters.bias, residual: residual, into: y)
    }

    private func convolution(
        _ x: Tensor, _ shape: ConvolutionShape, _ form: Form, _ weights: any PackedWeights, _ bias: Tensor?,
        residual: Tensor?, into y: Tensor
    ) throws(ComputeError) {
        guard
            let operation = try operation(
                .convolution(shape, form),
                create: { (out: inout OpaquePointer?) in
                    var s = conednn_convolution_shape(shape)
                    (s.has_bias, s.has_residual, s.activation) = (
                        form.bias ? 1 : 0, form.residual ? 1 : 0, form.activation.rawValue
                    )
                    (s.type, s.result_type) = (Int32(form.type.rawValue), Int32(form.resultType.rawValue))
                    return conednn_convolution_create(engine, &s, &out)
                })
        else { return }
        // oneDNN adds to the numbers in the result. A residual in memory of its own would take most shapes to a slower
        // implementation.
        if let residual {
            let (source, target) = (residual.storage.base, y.storage.base)
            pool.run(total: y.count * y.elementType.byteCount, chunk: 1 << 18) {
                first, count, _ in (target + first).copyMemory(from: source + first, byteCount: count)
            }
        }
        try execute(operation, x, weights, bias, nil, y)
    }

    /// - Returns: nil in a rehearsal, which only counts the operation.
    private func operation(
        _ key: OperationKey, create: (inout OpaquePointer?) -> Int32
    ) throws(ComputeError) -> Operation? {
        guard !pool.rehearses else {
            if rehearsed.insert(key).inserted { preparations += 1 }
            return nil
        }
        // The setting belongs to the calling thread, and another thread may have made the context.
        csystem_set_openmp_threads(threads)
        useCount += 1
        if let known = operations[key] {
            known.lastUse = useCount
            return known
        }
        var raw: OpaquePointer?
        try check(create(&raw), "preparing \(key)")
        preparations += 1
        let operation = Operation(raw!)
        operation.lastUse = useCount
        if operations.count >= operationLimit { giveUpOlderHalf() }
        operations[key] = operation
        return operation
    }

    /// Drops half at a time, so that sorting costs little.
    private func giveUpOlderHalf() {
        let byUse = operations.sorted { $0.value.lastUse < $1.value.lastUse }
        for (key, _) in byUse.prefix(byUse.count / 2) { operations[key] = nil }
    }

    private func packed(_ weights: any PackedWeights) -> Packed {
        guard let packed = weights as? Packed else { preconditionFailure("weights were packed by another backend") }
        return packed
    }

    private func execute(
        _ operation: Operation, _ x: Tensor, _ weights: any PackedWeights, _ bias: Tensor?, _ residual: Tensor?, _ y: Tensor
    ) throws(ComputeError) {
        let packed = packed(weights)
        let status = conednn_execute(
            engine, operation.raw, x.storage.base, try packed.bytes(in: operation), bias?.floats.baseAddress,
            residual?.storage.base, y.storage.base)
        try check(status, "computing with \(String(cString: conednn_operation_implementation(operation.raw)))")
    }
}

func check(_ status: Int32, _ what: @autoclosure () -> String) throws(ComputeError) {
    guard status != 0 else { return }
    throw ComputeError("oneDNN failed while \(what()): \(String(cString: conednn_status_text(status)))")
}

/// Owns one oneDNN operation.
private final class Operation {
    let raw: OpaquePointer
    var lastUse: UInt64 = 0
    init(_ raw: OpaquePointer) { self.raw = raw }
    deinit { conednn_operation_destroy(raw) }
}

/// Weights in one or more of oneDNN's formats: the format of the layer, and the formats of operations that want another one.
private final class Packed: PackedWeights {
    private let engine: OpaquePointer
    private var variants: [(format: OneDNNFormat, tensor: Tensor)]

    init(engine: OpaquePointer, first: Tensor, _ format: OneDNNFormat) {
        self.engine = engine
        variants = [(format, first)]
    }

    /// The layer's format.
    var firstFormat: OpaquePointer { variants[0].format.raw }

    func bytes(in operation: Operation) throws(ComputeError) -> UnsafeRawPointer {
        let wanted = conednn_operation_format(operation.raw)!
        for variant in variants where conednn_format_equal(variant.format.raw, wanted) != 0 {
            return UnsafeRawPointer(variant.tensor.storage.base)
        }
        let source = variants[0]
        let repacked = Tensor(uninitialized: [max(1, (conednn_format_bytes(wanted) + 3) / 4)])
        try check(
            conednn_repack(engine, source.format.raw, source.tensor.storage.base, wanted, repacked.storage.base),
            "packing weights")
        variants.append((try OneDNNFormat(copying: wanted), repacked))
        return UnsafeRawPointer(repacked.storage.base)
    }
}
