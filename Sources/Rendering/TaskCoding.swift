import Acceleration
import ContentHash
public import StrictJSON

/// Limits of what travels, checked by both ends.
enum TaskLimits {
    static let channels = 1...64
    static let latentSide = 1...2048
    /// Tokens of one row of ids, which travel in the metadata of 64 KiB at most.
    static let tokens = 1024
    /// Chunks of one prompt.
    static let chunks = 16
    /// Tokens of a whole encoded prompt.
    static let promptTokens = tokens * chunks
    static let skippedLayers = 0...255
    static let textWidth = 1...65536
    static let windowBlocks = 1024
    /// 8-bit pixels of a whole picture. The decoded picture is one message, and its PNG another, each of 64 MiB at most; a PNG
    /// of noise is larger than its pixels, and its text comes on top.
    static let pictureBytes = 60 << 20
    /// A source picture with its mask is one message.
    static let sourceBytes = 64 << 20
}

extension RenderTask {
    /// The task as it travels: canonical metadata and raw f32 numbers.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        var object = JSONObject()
        object["phase"] = .string(phase.rawValue)
        object["step"] = .integer(Int64(step))
        object["index"] = .integer(Int64(index))
        object["context"] = .string(contextHash.hex)
        switch work {
        case .encode(let work):
            for (key, rows) in zip(Self.idKeys, work.ids) {
                object[key] = .array(rows.map { row in .array(row.map { .integer(Int64($0)) }) })
            }
            object["skip"] = .integer(Int64(work.skippedLayers))
            return (.object(object), [])
        case .encodePicture(let work):
            object["width"] = .integer(Int64(work.width))
            object["height"] = .integer(Int64(work.height))
            object["masked"] = .bool(work.mask != nil)
            return (.object(object), work.rgb + (work.mask ?? []))
        case .denoise(let work):
            object.setShape(of: work.latent)
            object["timestep"] = .number(Double(work.timestep))
            object["guidance"] = .number(Double(work.guidance))
            object["rescale"] = .number(Double(work.rescale))
            object["time_ids"] = work.timeIDs.map { .array($0.map { .number(Double($0)) }) }
            object["rad"] = .bool(work.plan.rad)
            object["pool"] = .bool(work.plan.pool)
            object["shifts"] = work.plan.windowShifts.map { .array($0.map { .integer(Int64($0)) }) }
            object["tokens"] = work.plan.tokens.json
            return (.object(object), TensorBytes.encode(work.latent.values))
        case .decode(let latent):
            object.setShape(of: latent)
            return (.object(object), TensorBytes.encode(latent.values))
        }
    }

    /// Throws `.malformed` for anything but an encoded task, `.nonFinite` for NaN or infinity in its numbers.
    public init(metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        let fields = WireFields(metadata, "A task")
        guard let phase = RenderPhase(rawValue: try fields.string("phase")) else {
            throw RenderError(.malformed, "A task names a phase that does not exist.")
        }
        guard let hash = SHA256Digest(hex: try fields.string("context")) else {
            throw RenderError(.malformed, "A task names no context by its SHA-256.")
        }
        self.phase = phase
        step = try fields.integer("step", 0...1_000_000)
        index = try fields.integer("index", 0...1_000_000)
        contextHash = hash
        switch phase {
        case .encode:
            try fields.only(Self.commonKeys + Self.idKeys + ["skip"])
            guard payload.isEmpty else {
                throw RenderError(.malformed, "A task that encodes text has numbers it does not need.")
            }
            work = .encode(
                EncodeWork(ids: try Self.ids(metadata), skippedLayers: try fields.integer("skip", TaskLimits.skippedLayers)))
        case .picture:
            try fields.only(Self.commonKeys + ["width", "height", "masked"])
            work = .encodePicture(try PictureWork(fields, payload))
        case .decode:
            try fields.only(Self.commonKeys + Latent.keys)
            work = .decode(try Latent(fields, payload))
        case .denoise, .structure, .detail:
            try fields.only(
                Self.commonKeys + Latent.keys + [
                    "timestep", "guidance", "rescale", "time_ids", "rad", "pool", "shifts", "tokens",
                ])
            let shifts = try fields.integers("shifts", 0...3, limit: TaskLimits.windowBlocks)
            work = .denoise(
                DenoiseWork(
                    latent: try Latent(fields, payload), timestep: try fields.number("timestep"),
                    guidance: try fields.number("guidance"), rescale: try fields.number("rescale"),
                    timeIDs: try fields.numbers(
                        "time_ids", counts: [DenoiseWork.timeIDCount, 2 * DenoiseWork.timeIDCount]),
                    plan: UNetPlan(
                        rad: try fields.flag("rad"), pool: try fields.flag("pool"),
                        windowShifts: shifts.map { $0.map { UInt8($0) } }, tokens: try TokenPlan(json: metadata["tokens"]))))
        }
    }

    private static let commonKeys = ["phase", "step", "index", "context"]
    /// The ids for each text encoder.
    private static let idKeys = ["ids", "ids_2"]

    private static func ids(_ metadata: JSONValue) throws(RenderError) -> [[[Int32]]] {
        var encoders = [try ids(metadata["ids"])]
        if let second = metadata["ids_2"] { encoders.append(try ids(second)) }
        guard encoders.allSatisfy({ $0.count == encoders[0].count && $0[0].count == encoders[0][0].count }) else {
            throw RenderError(.malformed, "The text encoders' rows of token ids have different shapes.")
        }
        return encoders
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

extension PictureWork {
    fileprivate init(_ fields: WireFields, _ payload: [UInt8]) throws(RenderError) {
        width = try fields.integer("width", 1...RenderRequest.sideLimit)
        height = try fields.integer("height", 1...RenderRequest.sideLimit)
        let isMasked = try fields.flag("masked")
        let pixels = width * height
        guard payload.count == pixels * (isMasked ? 4 : 3) else {
            throw RenderError(.malformed, "A picture to encode has \(payload.count) bytes, no \(width)×\(height) pixels.")
        }
        rgb = Array(payload[..<(pixels * 3)])
        mask = isMasked ? Array(payload[(pixels * 3)...]) : nil
        guard mask?.allSatisfy({ $0 <= 1 }) ?? true else {
            throw RenderError(.malformed, "A picture to encode has a mask that is not of 0 and 1.")
        }
    }
}

extension Latent {
    fileprivate static let keys = ["channels", "height", "width"]

    fileprivate init(_ fields: WireFields, _ payload: [UInt8]) throws(RenderError) {
        let channels = try fields.integer("channels", TaskLimits.channels)
        let height = try fields.integer("height", TaskLimits.latentSide)
        let width = try fields.integer("width", TaskLimits.latentSide)
        let values = try TensorBytes.decode(payload, count: channels * height * width, "A latent")
        guard values.allSatisfy({ $0.isFinite }) else { throw RenderError(.nonFinite, "A latent holds NaN or infinity.") }
        self.init(channels: channels, height: height, width: width, values: values)
    }
}

extension JSONObject {
    fileprivate mutating func setShape(of latent: Latent) {
        self["channels"] = .integer(Int64(latent.channels))
        self["height"] = .integer(Int64(latent.height))
        self["width"] = .integer(Int64(latent.width))
    }
}

extension TaskOutput {
    /// The output as it travels.
    public func encoded() -> (metadata: JSONValue, payload: [UInt8]) {
        var object = JSONObject()
        switch self {
        case .embeddings(let rows, let tokens, let width, let values, let pooled):
            object["kind"] = "embeddings"
            object["rows"] = .integer(Int64(rows))
            object["tokens"] = .integer(Int64(tokens))
            object["width"] = .integer(Int64(width))
            if !pooled.isEmpty { object["pooled"] = .integer(Int64(pooled.count / rows)) }
            return (.object(object), TensorBytes.encode(values + pooled))
        case .moments(let latent):
            object["kind"] = "moments"
            object.setShape(of: latent)
            return (.object(object), TensorBytes.encode(latent.values))
        case .prediction(let latent):
            object["kind"] = "prediction"
            object.setShape(of: latent)
            return (.object(object), TensorBytes.encode(latent.values))
        case .pixels(let width, let height, let rgb):
            object["kind"] = "pixels"
            object["width"] = .integer(Int64(width))
            object["height"] = .integer(Int64(height))
            return (.object(object), rgb)
        }
    }

    /// Throws `.malformed` for anything but an encoded output, `.nonFinite` for NaN or infinity in its numbers.
    public init(metadata: JSONValue, payload: [UInt8]) throws(RenderError) {
        let fields = WireFields(metadata, "A task's output")
        switch try fields.string("kind") {
        case "embeddings":
            self = try Self.embeddings(fields, payload)
        case "moments":
            try fields.only(["kind"] + Latent.keys)
            self = .moments(try Latent(fields, payload))
        case "prediction":
            try fields.only(["kind"] + Latent.keys)
            self = .prediction(try Latent(fields, payload))
        case "pixels":
            try fields.only(["kind", "width", "height"])
            let width = try fields.integer("width", 1...RenderRequest.sideLimit)
            let height = try fields.integer("height", 1...RenderRequest.sideLimit)
            guard payload.count == width * height * 3 else {
                throw RenderError(.malformed, "A picture has \(payload.count) bytes instead of \(width * height * 3).")
            }
            self = .pixels(width: width, height: height, rgb: payload)
        default:
            throw RenderError(.malformed, "A task's output is of a kind that does not exist.")
        }
    }

    private static func embeddings(_ fields: WireFields, _ payload: [UInt8]) throws(RenderError) -> TaskOutput {
        try fields.only(["kind", "rows", "tokens", "width", "pooled"])
        let rows = try fields.integer("rows", 1...2)
        let tokens = try fields.integer("tokens", 1...TaskLimits.tokens)
        let width = try fields.integer("width", TaskLimits.textWidth)
        let pooledWidth = fields.has("pooled") ? try fields.integer("pooled", TaskLimits.textWidth) : 0
        let count = rows * tokens * width
        let values = try TensorBytes.decode(payload, count: count + rows * pooledWidth, "An embedding")
        guard values.allSatisfy({ $0.isFinite }) else {
            throw RenderError(.nonFinite, "An embedding holds NaN or infinity.")
        }
        return .embeddings(
            rows: rows, tokens: tokens, width: width, values: Array(values[..<count]), pooled: Array(values[count...]))
    }
}
