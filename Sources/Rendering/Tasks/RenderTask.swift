public import ContentHash
public import Places
import Sentences
public import StrictJSON
import Weights

/// The parts of a render, in the order in which they come.
public enum RenderPhase: String, Sendable, CaseIterable {
    /// Prompts become embeddings.
    case encode
    /// The source picture becomes a latent.
    case picture
    /// The whole latent, one task a step.
    case denoise
    /// CutDiffusion's patches, which share their pixels.
    case structure
    /// CutDiffusion's overlapping views.
    case detail
    /// Latents become pixels.
    case decode
}

/// A piece of work that depends only on itself and its context. Any worker computes the same bytes, in any order, any number
/// of times.
public struct RenderTask: Sendable, Equatable {
    public var phase: RenderPhase
    /// The number of the network's call, from 0 over the whole render. A decoding task has the number of its section here. The
    /// messages name it `step`.
    public var call: Int
    /// Its place in the barrier.
    public var index: Int
    /// The `hash` of its context.
    public var contextHash: SHA256Digest
    package var work: any TaskWork

    /// The time it takes in relation to other tasks of its kind.
    public var cost: Double { work.cost }

    /// Bytes of its numbers or pixels on the wire.
    public var payloadBytes: Int { work.payloadBytes }

    /// The number of the thread that it continues; nil for most tasks. See `ClusterTask.thread`.
    public var thread: Int? { work.thread }

    /// Whether a worker may compute both tasks in one call of the network.
    public func sharesCall(with other: RenderTask) -> Bool {
        (phase, call, contextHash) == (other.phase, other.call, other.contextHash) && work.canShareCall(with: other.work)
    }

    /// Its name in error messages, counted from 1.
    var title: String {
        "Task \(index + 1) of \(phase.rawValue)" + (type(of: work).callTitle.map { ", \($0) \(call + 1)" } ?? "")
    }

    public static func == (left: RenderTask, right: RenderTask) -> Bool {
        (left.phase, left.call, left.index, left.contextHash) == (right.phase, right.call, right.index, right.contextHash)
            && left.work.isEqual(to: right.work)
    }
}

/// The tasks between two merges.
public struct Barrier: Sendable, Equatable {
    /// Its stage is the index of its pass.
    public var place: Place<RenderPhase>
    public var tasks: [RenderTask]
    /// A worker must hold it before it runs any of the tasks.
    public var context: JobContext
    /// The context that `context` builds on, which a worker must hold before; nil if there is none.
    public var base: JobContext?
    /// Whether the machine takes each output by itself, as it comes (`RenderMachine.take`). All outputs of such a barrier would
    /// be too large for memory.
    public var takesEach = false

    public var phase: RenderPhase { place.phase }
}

/// The part that the tasks of a job share: the model, and from the first denoising step on the embedded prompts. Each worker
/// gets it once.
public struct JobContext: Sendable, Equatable {
    /// The embedded prompts: the prompt's row, or the negative prompt's and the prompt's.
    package struct Conditioning: Sendable, Equatable {
        package var rows: Int
        package var tokens: Int
        package var width: Int
        package var values: [Float]
        /// SDXL's pooled vectors (rows, their width); empty for other models.
        package var pooled: [Float] = []
    }

    /// A LoRA file of the model, by its content.
    struct LoRA: Sendable, Hashable {
        var sha256: SHA256Digest
        var scale: LoRAScale
    }

    public let modelIdentity: SHA256Digest
    /// The LoRA files of the model, in the order of merging.
    let loras: [LoRA]
    package let conditioning: Conditioning?
    /// The content for tasks that decode; nil for others.
    package let tiles: TiledContent?
    /// SHA-256 of the encoded context.
    public let hash: SHA256Digest

    init(
        modelIdentity: SHA256Digest, loras: [LoRA] = [], conditioning: Conditioning? = nil, tiles: TiledContent? = nil
    ) {
        (self.modelIdentity, self.loras) = (modelIdentity, loras)
        (self.conditioning, self.tiles) = (conditioning, tiles)
        let encoded = JobContext.encode(modelIdentity, loras, conditioning, tiles)
        let hasher = SHA256Hasher()
        hasher.update(encoded.metadata.canonicalBytes())
        hasher.update(encoded.payload)
        hash = hasher.finalize()
    }

    /// The same model with other content.
    func with(_ tiles: TiledContent) -> JobContext { JobContext(modelIdentity: modelIdentity, loras: loras, tiles: tiles) }

    /// The context for the wire.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        JobContext.encode(modelIdentity, loras, conditioning, tiles)
    }

    private static func encode(
        _ model: SHA256Digest, _ loras: [LoRA], _ conditioning: Conditioning?, _ tiles: TiledContent?
    ) -> (metadata: JSONValue, payload: [UInt8]) {
        var object = JSONObject()
        object["model"] = .string(model.hex)
        if !loras.isEmpty { object["loras"] = .array(loras.map { $0.scale.json(sha256: $0.sha256) }) }
        if let tiles {
            let payload = tiles.write(to: &object)
            return (.object(object), payload)
        }
        guard let conditioning else { return (.object(object), []) }
        object["rows"] = .integer(Int64(conditioning.rows))
        object["tokens"] = .integer(Int64(conditioning.tokens))
        object["width"] = .integer(Int64(conditioning.width))
        if !conditioning.pooled.isEmpty {
            object["pooled"] = .integer(Int64(conditioning.pooled.count / conditioning.rows))
        }
        return (.object(object), TensorBytes.encode(conditioning.values + conditioning.pooled))
    }

    /// Throws `.malformed` for anything but an encoded context.
    public init(metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        let fields = WireFields(metadata, "A job's context")
        let isTiled = fields["tiles"] != nil
        try fields.only(["model", "loras"] + (isTiled ? TiledContent.keys : ["rows", "tokens", "width", "pooled"]))
        guard let model = SHA256Digest(hex: try fields.string("model")) else {
            throw .malformed("A job's context names no model by its SHA-256.")
        }
        let loras = try fields.optional("loras", .list(of: LoRA.shape, count: 1...LoRASelection.countLimit)) ?? []
        if isTiled {
            self.init(modelIdentity: model, loras: loras, tiles: try TiledContent(fields, payload))
            return
        }
        guard fields["rows"] != nil else {
            try fields.only(["model", "loras"])
            guard payload.isEmpty else { throw .malformed("A job's context has numbers without a shape.") }
            self.init(modelIdentity: model, loras: loras, conditioning: nil)
            return
        }
        let rows = try fields.integer("rows", 1...2)
        let tokens = try fields.integer("tokens", 1...TaskLimits.promptTokens)
        let width = try fields.integer("width", TaskLimits.textWidth)
        let pooledWidth = fields["pooled"] != nil ? try fields.integer("pooled", TaskLimits.textWidth) : 0
        let count = rows * tokens * width
        let values = try TensorBytes.decode(payload, count: count + rows * pooledWidth, "A job's conditioning")
        guard values.allSatisfy({ $0.isFinite }) else { throw .nonFinite("A job's conditioning holds NaN or infinity.") }
        self.init(
            modelIdentity: model, loras: loras,
            conditioning: Conditioning(
                rows: rows, tokens: tokens, width: width, values: Array(values[..<count]), pooled: Array(values[count...])))
    }
}
