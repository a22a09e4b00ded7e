public import TensorCore
public import Weights

/// A text encoder's output for rows of tokens.
public struct CLIPTextOutput {
    /// The input of the first layer, and the output of each layer, (n, tokens, width) each: one more than there are layers.
    /// None has passed the final norm.
    public let hiddenStates: [Tensor]
    /// The last layer's vectors after the final norm, (n, tokens, width).
    public let lastHiddenState: Tensor
    /// The normed vector at each row's end token, (n, width). If the model has a projection, it is projected: (n,
    /// projection).
    public let pooled: Tensor
}

/// CLIP's text encoder (Radford et al. 2021, arXiv 2103.00020): a causal transformer with a norm before each part.
public final class CLIPTextModel {
    public let configuration: CLIPTextConfiguration
    private let context: ComputeContext
    private let tokens: Tensor
    private let positions: Tensor
    private let layers: [CLIPTextLayer]
    private let finalNorm: LayerNorm
    private let projection: LinearParameters?

    /// Text encoders take a moment of a render, so they compute in f32 in any precision.
    public static let precision = ElementType.f32

    /// - Parameters:
    ///   - weights: the component's tensors, with or without the prefix `text_model`.
    /// - Throws: `.weights` if tensors are missing, misshapen or left over.
    public init(
        _ weights: WeightScope, configuration: CLIPTextConfiguration, context: ComputeContext
    ) throws(ModelError) {
        self.configuration = configuration
        self.context = context
        let scope = LayerScope(weights, context, precision: Self.precision)
        let model = weights.contains("text_model.embeddings.token_embedding.weight") ? scope["text_model"] : scope
        let width = configuration.hiddenSize
        tokens = try model["embeddings.token_embedding"].tensor("weight", [configuration.vocabularySize, width])
        positions = try model["embeddings.position_embedding"].tensor("weight", [configuration.maxPositions, width])
        layers = try (0..<configuration.layerCount).map { (index) throws(ModelError) in
            try CLIPTextLayer(model["encoder.layers"][index], configuration)
        }
        finalNorm = try LayerNorm(model, "final_layer_norm", channels: width, epsilon: Float(configuration.normEpsilon))
        let hasProjection = configuration.hasProjection ?? weights.contains("text_projection.weight")
        projection =
            hasProjection
            ? try scope.linear("text_projection", from: width, to: configuration.projectionSize, bias: false) : nil
        try scope.requireNothingLeft(ignoring: CLIPTextModel.ignoredTensors)
    }

    /// Tensors in files of text encoders that a model does not read: a constant of old files, and a projection that the
    /// configuration does not ask for.
    public static let ignoredTensors = ["position_ids", "text_projection."]

    /// Whether `pooled` has passed a projection.
    public var hasProjection: Bool { projection != nil }

    /// Encodes rows of token ids of equal length.
    ///
    /// The pooled vector is the one at the first place of the end token. If the configuration's end token is 2, as in files
    /// from before transformers 4.30, it is the one at the first place of the row's largest id. Models of such files were
    /// trained with it.
    ///
    /// - Throws: `.input` for rows of unequal or wrong length and ids outside the vocabulary; `.nonFinite`.
    public func encode(ids: [[Int32]]) throws(ModelError) -> CLIPTextOutput {
        var hidden = try embed(ids)
        var states = [hidden]
        let last = try ModelError.computing("the text encoder") { () throws(ComputeError) in
            for layer in layers {
                hidden = try layer(hidden, context)
                states.append(hidden)
            }
            return finalNorm(hidden, context)
        }
        try context.requireFinite(last, "The text encoder's output")
        return CLIPTextOutput(hiddenStates: states, lastHiddenState: last, pooled: try pool(last, ids: ids))
    }

    /// The hidden state that enters the given number of layers from the end, after the final norm: clip skip as in Stable
    /// Diffusion 1 and 2.
    ///
    /// - Parameter clipSkip: the number of last layers to leave out, 0 to the number of layers.
    public func normedState(_ output: CLIPTextOutput, clipSkip: Int) throws(ModelError) -> Tensor {
        finalNorm(try state(output, clipSkip: clipSkip), context)
    }

    /// The hidden state of `normedState` before the norm. SDXL uses it and always leaves out at least one layer.
    public func state(_ output: CLIPTextOutput, clipSkip: Int) throws(ModelError) -> Tensor {
        guard (0...configuration.layerCount).contains(clipSkip) else {
            throw ModelError(
                .input,
                "A clip skip of \(clipSkip) is not possible: this text encoder has \(configuration.layerCount) layers to leave out."
            )
        }
        return output.hiddenStates[output.hiddenStates.count - 1 - clipSkip]
    }

    private func embed(_ ids: [[Int32]]) throws(ModelError) -> Tensor {
        let length = ids.first?.count ?? 0
        guard (1...configuration.maxPositions).contains(length), ids.allSatisfy({ $0.count == length }) else {
            throw ModelError(
                .input, "The text encoder takes rows of 1 to \(configuration.maxPositions) tokens, all of one length.")
        }
        let width = configuration.hiddenSize
        let x = context.empty([ids.count, length, width])
        let out = x.elements(as: Float.self)
        let (table, places) = (tokens.elements(as: Float.self), positions.elements(as: Float.self))
        for (row, rowIDs) in ids.enumerated() {
            for (place, id) in rowIDs.enumerated() {
                guard id >= 0, id < configuration.vocabularySize else {
                    throw ModelError(
                        .input,
                        "The token id \(id) is outside the text encoder's vocabulary of \(configuration.vocabularySize); "
                            + "tokenizer and text encoder do not belong together.")
                }
                let target = (row * length + place) * width
                for k in 0..<width { out[target + k] = table[Int(id) * width + k] + places[place * width + k] }
            }
        }
        return x
    }

    private func pool(_ last: Tensor, ids: [[Int32]]) throws(ModelError) -> Tensor {
        let (length, width) = (last.shape[1], last.shape[2])
        let pooled = context.empty([ids.count, width])
        let (source, target) = (last.elements(as: Float.self), pooled.elements(as: Float.self))
        for (row, rowIDs) in ids.enumerated() {
            let place = endPosition(rowIDs)
            for k in 0..<width { target[row * width + k] = source[(row * length + place) * width + k] }
        }
        guard let projection else { return pooled }
        return try ModelError.computing("the text projection") { () throws(ComputeError) in
            try context.linear(pooled, projection)
        }
    }

    /// The end of the row. A row without an end token is pooled at its first place, as in the reference.
    private func endPosition(_ row: [Int32]) -> Int {
        let wanted = configuration.endTokenID == 2 ? (row.max() ?? 0) : Int32(configuration.endTokenID)
        return row.firstIndex(of: wanted) ?? 0
    }
}

/// Self-attention and a feed-forward part, each after a norm and inside a residual.
private struct CLIPTextLayer {
    private let norm1: LayerNorm
    private let attention: AttentionLayer
    private let norm2: LayerNorm
    private let expand: LinearParameters
    private let contract: LinearParameters
    private let activation: Activation

    init(_ scope: LayerScope, _ configuration: CLIPTextConfiguration) throws(ModelError) {
        let width = configuration.hiddenSize
        let epsilon = Float(configuration.normEpsilon)
        norm1 = try LayerNorm(scope, "layer_norm1", channels: width, epsilon: epsilon)
        attention = try AttentionLayer(
            scope["self_attn"], names: ["q_proj", "k_proj", "v_proj", "out_proj"], width: width,
            heads: configuration.headCount, bias: true)
        norm2 = try LayerNorm(scope, "layer_norm2", channels: width, epsilon: epsilon)
        expand = try scope.linear("mlp.fc1", from: width, to: configuration.intermediateSize)
        contract = try scope.linear("mlp.fc2", from: configuration.intermediateSize, to: width)
        activation = configuration.hiddenActivation == .gelu ? .gelu : .quickGELU
    }

    /// - Parameter x: (n, tokens, width)
    func callAsFunction(_ x: Tensor, _ context: ComputeContext) throws(ComputeError) -> Tensor {
        let normed = norm1(x, context)
        let y = try attention(normed, source: normed, residual: x, causal: true, context)
        let hidden = try context.linear(norm2(y, context), expand, activation: activation)
        return try context.linear(hidden, contract, residual: y)
    }
}
