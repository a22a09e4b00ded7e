import Sentences
import StrictJSON

/// Planar values (channels, height, width), as in PyTorch and on the wire.
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

extension OutputShape {
    init(_ kind: String, channels: Int, height: Int, width: Int) {
        self.init(kind, ["channels": channels, "height": height, "width": width])
    }
}

extension TaskOutput {
    init(_ kind: String, _ latent: Latent) {
        self.init(OutputShape(kind, channels: latent.channels, height: latent.height, width: latent.width), latent.values)
    }
}

// On the wire, as part of a task.
extension Latent {
    static let keys = ["channels", "height", "width"]

    init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) {
        let channels = try metadata.integer("channels", TaskLimits.channels)
        let height = try metadata.integer("height", TaskLimits.latentSide)
        let width = try metadata.integer("width", TaskLimits.latentSide)
        let values = try TensorBytes.decode(payload, count: channels * height * width, "A latent")
        guard values.allSatisfy({ $0.isFinite }) else { throw .nonFinite("A latent holds NaN or infinity.") }
        self.init(channels: channels, height: height, width: width, values: values)
    }

    /// Writes its extents and returns its values.
    func write(to metadata: inout JSONObject) -> [UInt8] {
        metadata["channels"] = .integer(Int64(channels))
        metadata["height"] = .integer(Int64(height))
        metadata["width"] = .integer(Int64(width))
        return TensorBytes.encode(values)
    }
}
