import DiffusionModels
package import StrictJSON
import TensorCore
import Weights

/// Prompts on their way through the text encoders.
package struct EncodeWork: TaskWork {
    /// Rows of token ids of equal length, for each text encoder of the model: one, or SDXL's two.
    package var ids: [[[Int32]]]
    /// How many of an encoder's last layers are left out.
    var skippedLayers = 0

    package var cost: Double { 1 }

    package func output(of model: ModelDescription) -> OutputShape {
        let rows = ids[0].count
        return .embeddings(
            rows: rows, tokens: model.textTokens, width: model.textWidth, pooled: rows * (model.pooledWidth ?? 0))
    }

    /// The last hidden states of the encoders, side by side, with or without the norm, as the family has it; and the last
    /// encoder's pooled vector where the U-Net takes one.
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
            if !family.normsText {
                states.append(try encoder.state(output, clipSkip: skippedLayers))
            } else {
                states.append(
                    skippedLayers == 0 ? output.lastHiddenState : try encoder.normedState(output, clipSkip: skippedLayers))
            }
        }
        let state = states.dropFirst().reduce(states[0]) { model.context.concatenateChannels($0, $1) }
        return .embeddings(
            rows: state.shape[0], tokens: state.shape[1], width: state.shape[2], values: state.array, pooled: pooled)
    }
}

// MARK: What answers it

extension OutputShape {
    /// (rows, tokens, width), then SDXL's pooled vectors (rows, their width), else none.
    ///
    /// - Parameter pooled: numbers of all pooled vectors.
    static func embeddings(rows: Int, tokens: Int, width: Int, pooled: Int) -> OutputShape {
        let count = rows * tokens * width + pooled
        guard pooled > 0 else {
            return OutputShape("embeddings", ["rows": rows, "tokens": tokens, "width": width], count: count)
        }
        return OutputShape(
            "embeddings", ["rows": rows, "tokens": tokens, "width": width, "pooled": pooled / rows], count: count)
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

// MARK: How it travels

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
        guard payload.isEmpty else {
            throw RenderError(.malformed, "A task that encodes text has numbers it does not need.")
        }
        ids = [try Self.ids(metadata["ids"])]
        if let second = metadata["ids_2"] { ids.append(try Self.ids(second)) }
        let (rows, length) = (ids[0].count, ids[0][0].count)
        guard ids.allSatisfy({ $0.count == rows && $0[0].count == length }) else {
            throw RenderError(.malformed, "The text encoders' rows of token ids have different shapes.")
        }
        skippedLayers = try metadata.integer("skip", 0...255)
    }

    private static func ids(_ value: JSONValue?) throws(RenderError) -> [[Int32]] {
        guard let rows = value?.arrayValue, (1...2).contains(rows.count) else {
            throw RenderError(.malformed, "A task that encodes text has one or two rows of token ids.")
        }
        var ids: [[Int32]] = []
        for row in rows {
            guard let elements = row.arrayValue, (1...TaskLimits.tokens).contains(elements.count) else {
                throw RenderError(.malformed, "A row of token ids has 1 to \(TaskLimits.tokens) numbers.")
            }
            var numbers: [Int32] = []
            for element in elements {
                guard let number = element.intValue.flatMap({ Int32(exactly: $0) }), number >= 0 else {
                    throw RenderError(.malformed, "A token id is a whole number from 0.")
                }
                numbers.append(number)
            }
            ids.append(numbers)
        }
        guard ids.allSatisfy({ $0.count == ids[0].count }) else {
            throw RenderError(.malformed, "The rows of token ids have different lengths.")
        }
        return ids
    }
}
