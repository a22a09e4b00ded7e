import Sentences
import StrictJSON

/// Planar values (channels, height, width), as in PyTorch and on the wire.
public struct Latent: Sendable, Equatable {
    public var channels: Int
    public var height: Int
    public var width: Int
    private var content: Content

    private enum Content: Sendable {
        case values([Float])
        case made(@Sendable () -> [Float])
    }

    public var values: [Float] {
        get {
            switch content {
            case .values(let values): values
            case .made(let make): make()
            }
        }
        set { content = .values(newValue) }
    }

    public init(channels: Int, height: Int, width: Int, values: [Float]) {
        precondition(
            values.count == channels * height * width, "\(values.count) values are no \(channels)×\(height)×\(width) latent")
        (self.channels, self.height, self.width, content) = (channels, height, width, .values(values))
    }

    /// A latent whose values are made when somebody needs them: a part of a canvas that would otherwise be in memory many
    /// times.
    init(channels: Int, height: Int, width: Int, making values: @escaping @Sendable () -> [Float]) {
        (self.channels, self.height, self.width, content) = (channels, height, width, .made(values))
    }

    public static func == (left: Latent, right: Latent) -> Bool {
        (left.channels, left.height, left.width) == (right.channels, right.height, right.width) && left.values == right.values
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
