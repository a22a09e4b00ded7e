public import TensorCore
public import Weights

/// What a text encoder makes of token ids.
public struct CLIPTextOutput {
    /// The embeddings and the output of each layer: layers + 1 tensors of (n, tokens, width), none of them normed.
    public var hiddenStates: [Tensor]
    /// The last of them after the final norm.
    public var lastHiddenState: Tensor
    /// (n, width): the last hidden state at each prompt's end token.
    public var pooled: Tensor
    /// (n, projectionWidth): `pooled` after the projection; nil for models without one.
    public var projected: Tensor?
}

/// CLIP's text transformer (Radford et al. 2021; transformers' `CLIPTextModel` and `CLIPTextModelWithProjection`).
public final class CLIPTextModel {
    public let configuration: CLIPTextConfiguration
    private let context: ComputeContext
    private let tokenEmbedding: Tensor
    private let positionEmbedding: Tensor
    private let layers: [CLIPTextLayer]
    private let finalNorm: Norm
    private let projection: LinearParameters?

    /// Builds the encoder from its checkpoint, whose names may or may not begin with `text_model.`. Throws `WeightsError` for missing,
    /// misshapen and left-over tensors.
    public init(_ weights: WeightScope, configuration: CLIPTextConfiguration, context: ComputeContext) throws {
        let prefixed = weights["text_model"]["embeddings"]["token_embedding"].contains("weight")
        let place = prefixed ? weights["text_model"] : weights
        let width = configuration.width
        tokenEmbedding = try place["embeddings"]["token_embedding"].tensor(
            "weight", shape: [configuration.vocabularySize, width])
        positionEmbedding = try place["embeddings"]["position_embedding"].tensor(
            "weight", shape: [configuration.positions, width])
        layers = try (0..<configuration.layers).map {
            try CLIPTextLayer(place["encoder"]["layers"][$0], configuration, context)
        }
        finalNorm = try Norm(place["final_layer_norm"], channels: width)
        projection = try configuration.projectionWidth.map {
            try context.linear(weights["text_projection"], width, $0, bias: false)
        }
        try weights.requireAllConsumed()
        self.configuration = configuration
        self.context = context
    }

    /// - Parameter ids: one row of token ids for each prompt, all of one length of at most `positions`.
    /// - Throws: `.badInput` for rows of different or impossible lengths and for ids outside the vocabulary.
    public func encode(ids: [[Int32]]) throws -> CLIPTextOutput {
        let embedded = try embed(ids)
        var states = [embedded]
        for layer in layers { states.append(try layer.forward(states[states.count - 1], context)) }
        let last = normed(states[states.count - 1])
        let pooled = pool(last, ids)
        return CLIPTextOutput(
            hiddenStates: states, lastHiddenState: last, pooled: pooled,
            projected: try projection.map { try context.linear(pooled, $0) })
    }

    /// A hidden state after the final norm, as clip skip uses it.
    public func normed(_ state: Tensor) -> Tensor { context.layerNorm(state, finalNorm, epsilon: configuration.normEpsilon) }

    private func embed(_ ids: [[Int32]]) throws(ModelError) -> Tensor {
        guard let tokens = ids.first?.count, ids.allSatisfy({ $0.count == tokens }),
            (1...configuration.positions).contains(tokens)
        else {
            throw ModelError(
                .badInput,
                "The text encoder takes rows of equal length, 1 to \(configuration.positions) tokens, not \(ids.map(\.count)).")
        }
        let width = configuration.width
        let x = context.empty([ids.count, tokens, width])
        let (out, table, places) = (x.floats, tokenEmbedding.floats, positionEmbedding.floats)
        for (row, id) in ids.joined().enumerated() {
            guard id >= 0, id < configuration.vocabularySize else {
                throw ModelError(
                    .badInput,
                    "Token id \(id) is not in the text encoder's vocabulary of \(configuration.vocabularySize); the tokenizer belongs to another model."
                )
            }
            for k in 0..<width { out[row * width + k] = table[Int(id) * width + k] + places[row % tokens * width + k] }
        }
        return x
    }

    /// The state at the end token: the first one with the end token's id, or the first of the largest ids where the configuration
    /// holds the old value 2.
    private func pool(_ last: Tensor, _ ids: [[Int32]]) -> Tensor {
        let width = configuration.width
        let pooled = context.empty([ids.count, width])
        for (row, prompt) in ids.enumerated() {
            let wanted = configuration.endToken == 2 ? prompt.max() : Int32(exactly: configuration.endToken)
            let place = wanted.flatMap { prompt.firstIndex(of: $0) } ?? 0
            for k in 0..<width { pooled.floats[row * width + k] = last.floats[(row * prompt.count + place) * width + k] }
        }
        return pooled
    }
}

/// One layer: causal self-attention and a feed-forward pair, each after a norm and added to its input.
private struct CLIPTextLayer {
    private let norm1: Norm
    private let query: LinearParameters
    private let key: LinearParameters
    private let value: LinearParameters
    private let output: LinearParameters
    private let norm2: Norm
    private let expand: LinearParameters
    private let contract: LinearParameters
    private let configuration: CLIPTextConfiguration

    init(_ weights: WeightScope, _ configuration: CLIPTextConfiguration, _ context: ComputeContext) throws {
        let (width, attention) = (configuration.width, weights["self_attn"])
        norm1 = try Norm(weights["layer_norm1"], channels: width)
        query = try context.linear(attention["q_proj"], width, width)
        key = try context.linear(attention["k_proj"], width, width)
        value = try context.linear(attention["v_proj"], width, width)
        output = try context.linear(attention["out_proj"], width, width)
        norm2 = try Norm(weights["layer_norm2"], channels: width)
        expand = try context.linear(weights["mlp"]["fc1"], width, configuration.intermediateWidth)
        contract = try context.linear(weights["mlp"]["fc2"], configuration.intermediateWidth, width)
        self.configuration = configuration
    }

    func forward(_ input: Tensor, _ context: ComputeContext) throws -> Tensor {
        let y = context.layerNorm(input, norm1, epsilon: configuration.normEpsilon)
        let attended = context.attention(
            query: try context.linear(y, query), key: try context.linear(y, key), value: try context.linear(y, value),
            heads: configuration.heads, causal: true)
        let x = try context.linear(attended, output, residual: input)
        let z = context.layerNorm(x, norm2, epsilon: configuration.normEpsilon)
        let expanded = try context.linear(z, expand, activation: configuration.activation)
        return try context.linear(expanded, contract, residual: x)
    }
}
