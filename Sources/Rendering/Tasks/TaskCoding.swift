import ContentHash
import Sentences
public import StrictJSON

/// Limits of messages. Both ends check them.
enum TaskLimits {
    static let channels = 1...64
    static let latentSide = 1...2048
    /// Tokens of one row of ids. They travel in metadata of at most 64 KiB.
    static let tokens = 1024
    /// Chunks of one prompt.
    static let chunks = 16
    /// Tokens of a whole encoded prompt.
    static let promptTokens = tokens * chunks
    static let textWidth = 1...65536
    /// Tiles of one latent.
    static let tiles = 1_000_000
    /// Group norms of an autoencoder's half.
    static let norms = 1000
    static let groups = 1...1024
    /// Bytes of a latent, of a tile's pixels, and of a picture to encode with its mask: each is one message.
    static let messageBytes = 64 << 20

    /// Whether a picture of `pixels` pixels fits a message to the encoder.
    static func canEncode(_ pixels: Int) -> Bool { pixels * 3 <= messageBytes }
}

extension RenderTask {
    private static let keys = ["phase", "step", "index", "context"]

    /// The task for the wire: metadata, and raw f32 numbers or pixels.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        var object = JSONObject()
        object["phase"] = .string(phase.rawValue)
        object["step"] = .integer(Int64(call))
        object["index"] = .integer(Int64(index))
        object["context"] = .string(contextHash.hex)
        let payload = work.write(to: &object)
        return (.object(object), payload)
    }

    /// Throws `.malformed` for anything but an encoded task, `.nonFinite` for NaN or infinity in its numbers.
    public init(metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        let fields = WireFields(metadata, "A task")
        guard let phase = RenderPhase(rawValue: try fields.string("phase")) else {
            throw .malformed("A task names a phase that does not exist.")
        }
        guard let hash = SHA256Digest(hex: try fields.string("context")) else {
            throw .malformed("A task names no context by its SHA-256.")
        }
        try fields.only(Self.keys + phase.work.keys)
        self.init(
            phase: phase, call: try fields.integer("step", 0...1_000_000), index: try fields.integer("index", 0...1_000_000),
            contextHash: hash, work: try phase.work.init(fields, payload))
    }
}
