import TensorCore

/// Multi-head attention with its four layers.
struct AttentionLayer {
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters
    private let heads: Int

    /// The layers' names in the files of diffusers: queries, keys, values, output.
    static let diffusersNames = ["to_q", "to_k", "to_v", "to_out.0"]

    /// - Parameters:
    ///   - width: of the tokens that attend.
    ///   - sourceWidth: width of the tokens that keys and values come from; nil for the same width.
    ///   - bias: whether the layers of queries, keys and values have a bias. The output layer always has one.
    init(
        _ scope: LayerScope, names: [String] = diffusersNames, width: Int, sourceWidth: Int? = nil, heads: Int, bias: Bool
    ) throws(ModelError) {
        query = try scope.linear(names[0], from: width, to: width, bias: bias)
        key = try scope.linear(names[1], from: sourceWidth ?? width, to: width, bias: bias)
        value = try scope.linear(names[2], from: sourceWidth ?? width, to: width, bias: bias)
        output = try scope.linear(names[3], from: width, to: width)
        self.heads = heads
    }

    /// - Parameters:
    ///   - x: (n, tokens, width)
    ///   - source: (k, sourceTokens, sourceWidth), the source of keys and values. Image i of x attends to image i mod k.
    ///   - residual: added to the result.
    func callAsFunction(
        _ x: Tensor, source: Tensor, residual: Tensor?, causal: Bool = false, _ context: ComputeContext
    ) throws(ComputeError) -> Tensor {
        let keys = try context.sharing(by: x.shape[0] / source.shape[0]) { () throws(ComputeError) in
            try keysAndValues(of: source, context)
        }
        return try self(x, keys, residual: residual, causal: causal, context)
    }

    /// Attention to given keys and values, of shape (k, sourceTokens, width). Image i of x attends to image i mod k.
    func callAsFunction(
        _ x: Tensor, _ source: TextKeys, residual: Tensor?, causal: Bool = false, _ context: ComputeContext
    ) throws(ComputeError) -> Tensor {
        let attended = context.attention(
            query: try context.linear(x, query), key: source.keys, value: source.values, heads: heads, causal: causal)
        return try context.linear(attended, output, residual: residual)
    }

    /// Attention to keys and values that come in parts.
    func callAsFunction(
        _ x: Tensor, _ source: VAEKeys, residual: Tensor?, _ context: ComputeContext
    ) throws(ComputeError) -> Tensor {
        let attended = try context.attention(
            query: try context.linear(x, query), heads: heads, parts: source.parts, source.part)
        return try context.linear(attended, output, residual: residual)
    }

    /// A part of the keys and values of an image.
    func packedKeys(of source: Tensor, _ context: ComputeContext) throws(ComputeError) -> PackedKeys {
        let part = try keysAndValues(of: source, context)
        return context.packKeys(part.keys, part.values, heads: heads)
    }

    /// - Parameter source: (k, sourceTokens, sourceWidth)
    func keysAndValues(of source: Tensor, _ context: ComputeContext) throws(ComputeError) -> TextKeys {
        TextKeys(keys: try context.linear(source, key), values: try context.linear(source, value))
    }

    /// The channels of keys and of values.
    var keyChannels: Int { key.outFeatures }

    /// Counts the arithmetic of keys and values that are not computed again.
    ///
    /// - Parameter tokens: of all images of the source.
    func countKeys(tokens: Int, _ context: ComputeContext) {
        context.countKept(rows: tokens, key)
        context.countKept(rows: tokens, value)
    }
}
