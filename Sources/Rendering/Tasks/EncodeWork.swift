import DiffusionModels
import Sentences
package import StrictJSON
import TensorCore
import Weights

/// Prompts on their way through the text encoders.
package struct EncodeWork: TaskWork {
    /// For each text encoder of the model (one, or SDXL's two): rows of token ids of equal length.
    package var ids: [[[Int32]]]
    /// The number of an encoder's last layers to leave out.
    var skippedLayers = 0

    package var cost: Double { 1 }

    package func output(of model: ModelDescription) -> OutputShape {
        let rows = ids[0].count
        return .embeddings(
            rows: rows, tokens: model.textTokens, width: model.textWidth, pooled: rows * (model.pooledWidth ?? 0))
    }

    /// The last hidden states of the encoders, side by side, and the last encoder's pooled vector if the U-Net takes one. The
    /// family decides on the norm.
    package func run(on model: ModelNetworks, in _: OpenedContext) throws -> TaskOutput {
        guard ids.count == model.parts.texts.count else {
            throw ModelError(.input, "ids for \(ids.count) text encoders do not fit a model with \(model.parts.texts.count).")
        }
        let family = model.parts.architecture.family
        var states: [Tensor] = []
        var pooled: [Float] = []
        for (index, ids) in ids.enumerated() {
            let encoder = try model.textEncoder(index)
            let output = try encoder.encode(ids: ids)
            if family.hasPooledConditioning { pooled = output.pooled.array }
            states.append(
                family.normsText
                    ? try encoder.normedState(output, clipSkip: skippedLayers)
                    : try encoder.state(output, clipSkip: skippedLayers))
        }
        let state = states.dropFirst().reduce(states[0]) { model.context.concatenateChannels($0, $1) }
        return .embeddings(
            rows: state.shape[0], tokens: state.shape[1], width: state.shape[2], values: state.array, pooled: pooled)
    }
}

// MARK: Output

extension OutputShape {
    /// (rows, tokens, width), then SDXL's pooled vectors (rows, their width), else none.
    ///
    /// - Parameter pooled: numbers of all pooled vectors.
    static func embeddings(rows: Int, tokens: Int, width: Int, pooled: Int) -> OutputShape {
        OutputShape(
            "embeddings", ["rows": rows, "tokens": tokens, "width": width, "pooled": pooled > 0 ? pooled / rows : nil],
            count: rows * tokens * width + pooled)
    }
}

extension TaskOutput {
    /// Encoded prompts, and SDXL's pooled vectors.
    public static func embeddings(
        rows: Int, tokens: Int, width: Int, values: [Float], pooled: [Float] = []
    ) -> TaskOutput {
        TaskOutput(.embeddings(rows: rows, tokens: tokens, width: width, pooled: pooled.count), values + pooled)
    }
}

// MARK: On the wire

extension EncodeWork {
    /// The ids for each text encoder.
    private static let idKeys = ["ids", "ids_2"]
    package static var keys: [String] { idKeys + ["skip"] }

    package func write(to metadata: inout JSONObject) -> [UInt8] {
        for (key, rows) in zip(Self.idKeys, ids) {
            metadata[key] = .array(rows.map { row in .array(row.map { .integer(Int64($0)) }) })
        }
        metadata["skip"] = .integer(Int64(skippedLayers))
        return []
    }

    package init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) {
        guard payload.isEmpty else { throw .malformed("A task that encodes text has numbers it does not need.") }
        let row = JSONShape.list(of: .integer(0...Int(Int32.max)), count: 1...TaskLimits.tokens)
        let first = try metadata.required(Self.idKeys[0], .list(of: row, count: 1...2))
        let second = try metadata.optional(Self.idKeys[1], .list(of: row, count: first.count...first.count))
        ids = [first, second].compactMap { rows in rows?.map { $0.map { Int32($0) } } }
        guard ids.joined().allSatisfy({ $0.count == ids[0][0].count }) else {
            throw .malformed("The rows of token ids have different lengths.")
        }
        skippedLayers = try metadata.integer("skip", 0...255)
    }
}
