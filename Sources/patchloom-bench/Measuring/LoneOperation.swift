import TensorCore

/// A traced operation, ready to run alone as often as a network has it. Each occurrence has weights of its own, so that they
/// come from memory as in the network, up to a limit that no cache reaches.
struct LoneOperation {
    let operation: TracedOperation
    /// Occurrences in the network.
    let count: Int
    /// Runs all occurrences, one after the other.
    let runAll: () throws -> Void

    /// Bytes of weights of one operation that are kept at a time.
    private static let weightBytesMax = 1 << 30

    init(_ operation: TracedOperation, count: Int, _ context: ComputeContext) throws {
        (self.operation, self.count) = (operation, count)
        let type = operation.elementType
        let one = try Self.prepared(operation, Self.Operands(context, type), context, count: count)
        runAll = { for index in 0..<count { try one(index) } }
    }

    /// Makes operands of a type.
    private struct Operands {
        let context: ComputeContext
        let type: ElementType

        init(_ context: ComputeContext, _ type: ElementType) { (self.context, self.type) = (context, type) }

        func tensor(_ shape: [Int], of other: ElementType? = nil) -> Tensor {
            context.convert(uniform(shape), to: other ?? type)
        }

        func weight(_ shape: [Int]) -> Tensor { context.convertWeights(uniform(shape), to: type) }

        /// Weights for as many occurrences as there are, within the limit.
        func weights<Parameters>(
            _ shape: [Int], hasBias: Bool, count: Int, _ pack: (Tensor, Tensor?) throws -> Parameters
        ) rethrows -> [Parameters] {
            let bytes = shape.reduce(type.byteCount, *)
            return try (0..<min(count, max(1, LoneOperation.weightBytesMax / bytes))).map { _ in
                try pack(weight(shape), hasBias ? uniform([shape[0]]) : nil)
            }
        }
    }

    /// The call of one occurrence, by its number.
    private static func prepared(
        _ operation: TracedOperation, _ operands: Operands, _ context: ComputeContext, count: Int
    ) throws -> (Int) throws -> Void {
        switch operation.kind {
        case .linear, .convolution: return try product(operation, operands, context, count: count)
        case .groupNorm, .layerNorm: return norm(operation, operands, context)
        case .attention(let queryShape, let keyShape, let heads, let causal):
            let (query, key, value) = (
                operands.tensor(queryShape), operands.tensor(keyShape), operands.tensor(keyShape)
            )
            return { _ in _ = context.attention(query: query, key: key, value: value, heads: heads, causal: causal) }
        case .geglu(let shape):
            let x = operands.tensor(shape)
            return { _ in _ = context.geglu(x) }
        case .silu(let shape):
            let x = operands.tensor(shape)
            return { _ in _ = context.silu(x) }
        case .add(let shape):
            let (a, b) = (operands.tensor(shape), operands.tensor(shape))
            return { _ in _ = context.add(a, b) }
        case .concatenation(let first, let second):
            let (a, b) = (operands.tensor(first), operands.tensor(second))
            return { _ in _ = context.concatenateChannels(a, b) }
        case .nearestResize(let shape, let height, let width):
            let x = operands.tensor(shape)
            return { _ in _ = context.resizeNearest(x, height: height, width: width) }
        case .conversion(let shape, let type):
            let x = operands.tensor(shape)
            return { _ in _ = context.convert(x, to: type) }
        }
    }

    private static func product(
        _ operation: TracedOperation, _ operands: Operands, _ context: ComputeContext, count: Int
    ) throws -> (Int) throws -> Void {
        switch operation.kind {
        case .linear(let rows, let inputs, let outputs, let activation):
            let x = operands.tensor([rows, inputs])
            let residual = operation.hasResidual ? operands.tensor([rows, outputs]) : nil
            let layers = try operands.weights([outputs, inputs], hasBias: operation.hasBias, count: count) {
                try context.packLinear(weight: $0, bias: $1)
            }
            return { _ = try context.linear(x, layers[$0 % layers.count], activation: activation, residual: residual) }
        case .convolution(let shape, let outputs, let kernel, let stride, let dilation, let padding, let use):
            let x = operands.tensor(shape)
            let layers = try operands.weights([outputs, shape[3]] + kernel, hasBias: operation.hasBias, count: count) {
                try context.packConvolution(weight: $0, bias: $1, use: use)
            }
            let call = { (index: Int, residual: Tensor?) throws -> Tensor in
                try context.convolution(
                    x, layers[index % layers.count], stride: stride, padding: padding, dilation: dilation, residual: residual,
                    as: operation.resultType)
            }
            // A residual has the shape of the result.
            let residual = operation.hasResidual ? try call(0, nil) : nil
            return { _ = try call($0, residual) }
        default: preconditionFailure("\(operation.kind) is no product")
        }
    }

    private static func norm(
        _ operation: TracedOperation, _ operands: Operands, _ context: ComputeContext
    ) -> (Int) throws -> Void {
        switch operation.kind {
        case .groupNorm(let shape, let groups, let silu, let hasAddend):
            let (x, c) = (operands.tensor(shape), shape[shape.count - 1])
            let (scale, offset) = (uniform([c]), uniform([c]))
            // In f32: a conversion of the network's addend is an operation of its own in the trace.
            let addend = hasAddend ? uniform([shape[0], c]) : nil
            return { _ in
                _ = context.groupNorm(
                    x, groups: groups, scale: scale, offset: offset, epsilon: 1e-5, silu: silu, addend: addend)
            }
        case .layerNorm(let shape):
            let (x, c) = (operands.tensor(shape), shape[shape.count - 1])
            let (scale, offset) = (uniform([c]), uniform([c]))
            return { _ in _ = context.layerNorm(x, scale: scale, offset: offset, epsilon: 1e-5) }
        default: preconditionFailure("\(operation.kind) is no norm")
        }
    }
}

extension TracedOperation {
    /// A name for people.
    var title: String {
        let extras = (hasResidual ? " + residual" : "") + (resultType == elementType ? "" : " to \(resultType)")
        switch kind {
        case .linear(let rows, let inputs, let outputs, let activation):
            let parts = (hasBias ? "" : " without bias") + (activation == .none ? "" : " + \(activation)")
            return "linear \(rows)×\(inputs)→\(outputs)" + parts + extras
        case .convolution(let x, let outputs, let kernel, let stride, let dilation, _, _):
            let (geometry, size) = ("\(kernel[0])×\(kernel[1])", "\(x[1])×\(x[2])")
            let steps = (stride == 1 ? "" : " stride \(stride)") + (dilation == 1 ? "" : " dilation \(dilation)")
            return "convolution \(geometry)\(steps) \(x[0])×\(size) \(x[3])→\(outputs)" + extras
        case .attention(let query, let key, let heads, let causal):
            let width = query[2] / max(1, heads)
            return "attention \(query[0])×\(query[1]) to \(key[1]), \(heads) heads of \(width)" + (causal ? ", causal" : "")
        case .groupNorm(let shape, _, let silu, let hasAddend):
            return "GroupNorm\(hasAddend ? " + time" : "")\(silu ? " + SiLU" : "") \(Self.text(shape))"
        case .layerNorm(let shape): return "LayerNorm \(Self.text(shape))"
        case .geglu(let shape): return "GEGLU \(Self.text(shape))"
        case .silu(let shape): return "SiLU \(Self.text(shape))"
        case .add(let shape): return "sum \(Self.text(shape))"
        case .concatenation(let a, let b): return "concatenation \(Self.text(a)) and \(b[b.count - 1])"
        case .nearestResize(let shape, let height, let width): return "resize \(Self.text(shape)) to \(height)×\(width)"
        case .conversion(let shape, let type): return "\(elementType) to \(type) \(Self.text(shape))"
        }
    }

    private static func text(_ shape: [Int]) -> String { shape.map { "\($0)" }.joined(separator: "×") }
}
