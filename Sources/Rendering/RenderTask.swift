package import Acceleration
public import ContentHash
public import Places
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
    /// CutDiffusion's patches that share their pixels.
    case structure
    /// CutDiffusion's overlapping views.
    case detail
    /// Latents become pixels.
    case decode
}

/// Planar values (channels, height, width), the order of PyTorch and of the wire.
public struct Latent: Sendable, Equatable {
    public var channels: Int
    public var height: Int
    public var width: Int
    public var values: [Float]

    public init(channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(
            values.count == channels * height * width, "\(values.count) values are no \(channels)×\(height)×\(width) latent")
        (self.channels, self.height, self.width, self.values) = (channels, height, width, values)
    }
}

/// Prompts on their way through the text encoders.
package struct EncodeWork: Sendable, Equatable {
    /// Rows of token ids of equal length, for each text encoder of the model: one, or SDXL's two.
    package var ids: [[[Int32]]]
    /// How many of an encoder's last layers are left out.
    var skippedLayers = 0
}

/// One U-Net evaluation with guidance.
package struct DenoiseWork: Sendable, Equatable {
    /// Already scaled as the sampler asks.
    package var latent: Latent
    package var timestep: Float
    /// u + guidance · (c − u); with 1 or less only the prompt's half is computed.
    var guidance: Float
    /// The share φ of the guided prediction that gets the prompt's deviation back (Lin et al. 2023, arXiv 2305.08891).
    var rescale: Float = 0
    /// SDXL's six numbers: original height and width, crop top and left, target height and width, in pixels. They hold for all
    /// rows; twelve are the negative prompt's and the prompt's.
    package var timeIDs: [Float]?
    package var plan: UNetPlan

    static let timeIDCount = 6
}

/// A picture for the autoencoder's encoder.
package struct PictureWork: Sendable, Equatable {
    var width: Int
    var height: Int
    /// Row by row, three bytes a pixel.
    var rgb: [UInt8]
    /// Row by row, 1 where mid-grey takes the place of the pixel; nil for the picture as it is.
    package var mask: [UInt8]?
}

/// A piece of work that depends on nothing but itself and its context: any worker computes the same bytes, in any order, any
/// number of times.
public struct RenderTask: Sendable, Equatable {
    package enum Work: Sendable, Equatable {
        case encode(EncodeWork)
        case encodePicture(PictureWork)
        case denoise(DenoiseWork)
        /// A latent in the U-Net's scale.
        case decode(Latent)
    }

    /// The numbers of an output that encodes prompts.
    public struct EmbeddingShape: Sendable, Equatable {
        public var rows: Int
        public var tokens: Int
        public var width: Int
        /// Numbers of all pooled vectors.
        public var pooled: Int

        public init(rows: Int, tokens: Int, width: Int, pooled: Int) {
            (self.rows, self.tokens, self.width, self.pooled) = (rows, tokens, width, pooled)
        }
    }

    public var phase: RenderPhase
    /// Zero-based, over the whole render.
    public var step: Int
    /// Its place in the barrier.
    public var index: Int
    /// The `hash` of the context that it needs.
    public var contextHash: SHA256Digest
    package var work: Work

    /// How long it takes in relation to other tasks of the render: pixels of the latent, more for decoding.
    public var cost: Double {
        switch work {
        case .encode: 1
        case .encodePicture(let work): Double(work.height * work.width) / 64 * 2
        case .denoise(let work): Double(work.latent.height * work.latent.width) * (work.guidance > 1 ? 2 : 1)
        case .decode(let latent): Double(latent.height * latent.width) * 4
        }
    }

    /// How error messages call it.
    var title: String { "\(phase.rawValue) step \(step), patch \(index)" }
}

/// What a task gave.
public enum TaskOutput: Sendable, Equatable {
    /// (rows, tokens, width), and SDXL's pooled vectors (rows, their width), else none.
    case embeddings(rows: Int, tokens: Int, width: Int, values: [Float], pooled: [Float] = [])
    /// A picture's latent as the encoder gives it: the means of all channels, then the logarithms of their variances.
    case moments(Latent)
    /// What the U-Net predicts, after guidance.
    case prediction(Latent)
    /// Row-major, three bytes a pixel.
    case pixels(width: Int, height: Int, rgb: [UInt8])
}

/// The tasks between two merges.
public struct Barrier: Sendable, Equatable {
    /// Its stage is the pass it belongs to.
    public var place: Place<RenderPhase>
    public var tasks: [RenderTask]
    /// What a worker must hold before it runs any of them.
    public var context: JobContext

    public var phase: RenderPhase { place.phase }
}

/// What the tasks of a job share: the model, and from the first denoising step on the embedded prompts. It goes to each worker
/// once.
public struct JobContext: Sendable, Equatable {
    /// The embedded prompts: one row, or the negative prompt's and the prompt's.
    package struct Conditioning: Sendable, Equatable {
        package var rows: Int
        package var tokens: Int
        package var width: Int
        package var values: [Float]
        /// SDXL's pooled vectors, (rows, their width); else none.
        package var pooled: [Float] = []
    }

    /// A LoRA file that is merged into the model, by its content.
    struct LoRA: Sendable, Hashable {
        var sha256: SHA256Digest
        var scale: LoRAScale
    }

    public let modelIdentity: SHA256Digest
    /// In the order of merging.
    let loras: [LoRA]
    package let conditioning: Conditioning?
    /// SHA-256 of the encoded context.
    public let hash: SHA256Digest

    init(modelIdentity: SHA256Digest, loras: [LoRA] = [], conditioning: Conditioning?) {
        (self.modelIdentity, self.loras, self.conditioning) = (modelIdentity, loras, conditioning)
        let encoded = JobContext.encode(modelIdentity, loras, conditioning)
        let hasher = SHA256Hasher()
        hasher.update(encoded.metadata.canonicalBytes())
        hasher.update(encoded.payload)
        hash = hasher.finalize()
    }

    /// The context as it travels.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        JobContext.encode(modelIdentity, loras, conditioning)
    }

    private static func encode(
        _ model: SHA256Digest, _ loras: [LoRA], _ conditioning: Conditioning?
    ) -> (metadata: JSONValue, payload: [UInt8]) {
        var object = JSONObject()
        object["model"] = .string(model.hex)
        if !loras.isEmpty { object["loras"] = .array(loras.map(\.json)) }
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
        try fields.only(["model", "loras", "rows", "tokens", "width", "pooled"])
        guard let model = SHA256Digest(hex: try fields.string("model")) else {
            throw RenderError(.malformed, "A job's context names no model by its SHA-256.")
        }
        let loras = try LoRA.list(fields.has("loras") ? metadata["loras"] : nil)
        guard fields.has("rows") else {
            try fields.only(["model", "loras"])
            guard payload.isEmpty else { throw RenderError(.malformed, "A job's context has numbers without a shape.") }
            self.init(modelIdentity: model, loras: loras, conditioning: nil)
            return
        }
        let rows = try fields.integer("rows", 1...2)
        let tokens = try fields.integer("tokens", 1...TaskLimits.promptTokens)
        let width = try fields.integer("width", TaskLimits.textWidth)
        let pooledWidth = fields.has("pooled") ? try fields.integer("pooled", TaskLimits.textWidth) : 0
        let count = rows * tokens * width
        let values = try TensorBytes.decode(payload, count: count + rows * pooledWidth, "A job's conditioning")
        guard values.allSatisfy({ $0.isFinite }) else {
            throw RenderError(.nonFinite, "A job's conditioning holds NaN or infinity.")
        }
        self.init(
            modelIdentity: model, loras: loras,
            conditioning: Conditioning(
                rows: rows, tokens: tokens, width: width, values: Array(values[..<count]), pooled: Array(values[count...])))
    }
}
