/// One operation of a context by its shapes: enough to run it alone, on other numbers.
public struct TracedOperation: Sendable, Hashable {
    /// The operation with the shapes of its operands, in their order.
    public enum Kind: Sendable, Hashable {
        case linear(rows: Int, from: Int, to: Int, activation: Activation)
        /// `x`: (n, h, w, in); `kernel`: height and width; `use`: the use that the weights are packed for.
        case convolution(
            x: [Int], to: Int, kernel: [Int], stride: Int, dilation: Int, padding: Padding, use: ConvolutionUse)
        /// `query` and `key`: (b, tokens, width)
        case attention(query: [Int], key: [Int], heads: Int, causal: Bool)
        case groupNorm([Int], groups: Int, silu: Bool, hasAddend: Bool)
        case layerNorm([Int])
        case geglu([Int])
        case silu([Int])
        case add([Int])
        case concatenation([Int], [Int])
        case nearestResize([Int], height: Int, width: Int)
        case conversion([Int], to: ElementType)
    }

    public var kind: Kind
    /// The element type of the operands.
    public var elementType: ElementType
    public var hasBias = false
    public var hasResidual = false
    /// The element type of a convolution's result; for other operations, that of the operands.
    public var resultType: ElementType

    init(
        _ kind: Kind, _ elementType: ElementType, hasBias: Bool = false, hasResidual: Bool = false,
        resultType: ElementType? = nil
    ) {
        (self.kind, self.elementType, self.hasBias, self.hasResidual) = (kind, elementType, hasBias, hasResidual)
        self.resultType = resultType ?? elementType
    }
}

extension ComputeContext {
    /// The operations of `body`, in the order in which they began. Gathers of tokens, windows and other resizes are left out:
    /// networks without HiDiffusion and token reduction have none.
    public func tracing<Failure: Error>(_ body: () throws(Failure) -> Void) throws(Failure) -> [TracedOperation] {
        var operations: [TracedOperation] = []
        let before = trace
        trace = { operations.append($0) }
        defer { trace = before }
        try body()
        return operations
    }

    /// Reports an operation to the caller of `tracing`.
    func note(
        _ kind: @autoclosure () -> TracedOperation.Kind, _ type: ElementType, hasBias: Bool = false, hasResidual: Bool = false,
        resultType: ElementType? = nil
    ) {
        guard let trace else { return }
        trace(TracedOperation(kind(), type, hasBias: hasBias, hasResidual: hasResidual, resultType: resultType))
    }
}
