package import ContentHash
import Sentences
import StrictJSON
package import TensorCore

/// The common content of tasks that decode a latent in tiles.
package enum TiledContent: Sendable, Equatable {
    /// The whole latent, in the U-Net's scale.
    case latent(Latent, tileHeight: Int, tileWidth: Int)
    /// The moments of a latent's norms so far, in order. It builds on the context of the latent.
    case moments([GroupMoments], of: SHA256Digest)
}

// MARK: On the wire

extension TiledContent {
    static let keys = ["tiles", "tile_height", "tile_width", "of", "norms", "groups"] + Latent.keys

    func write(to metadata: inout JSONObject) -> [UInt8] {
        switch self {
        case .latent(let latent, let height, let width):
            metadata["tiles"] = "latent"
            metadata["tile_height"] = .integer(Int64(height))
            metadata["tile_width"] = .integer(Int64(width))
            return latent.write(to: &metadata)
        case .moments(let norms, let latent):
            metadata["tiles"] = "moments"
            metadata["of"] = .string(latent.hex)
            metadata["norms"] = .integer(Int64(norms.count))
            metadata["groups"] = .integer(Int64(norms.first?.means.count ?? 0))
            return TensorBytes.encode(norms.flatMap(\.numbers))
        }
    }

    init(_ fields: WireFields, _ payload: [UInt8]) throws(RenderError) {
        switch try fields.string("tiles") {
        case "latent":
            try fields.only(["model", "loras", "tiles", "tile_height", "tile_width"] + Latent.keys)
            let latent = try Latent(fields, payload)
            self = .latent(
                latent, tileHeight: try fields.integer("tile_height", 1...latent.height),
                tileWidth: try fields.integer("tile_width", 1...latent.width))
        case "moments":
            try fields.only(["model", "loras", "tiles", "of", "norms", "groups"])
            guard let latent = SHA256Digest(hex: try fields.string("of")) else {
                throw .malformed("A job's context names no latent by its SHA-256.")
            }
            let norms = try fields.integer("norms", 1...TaskLimits.norms)
            let groups = try fields.integer("groups", TaskLimits.groups)
            let numbers = try TensorBytes.decodeDoubles(payload, count: 2 * norms * groups, "A job's moments")
            self = .moments(
                try (0..<norms).map { norm throws(RenderError) in
                    try GroupMoments(numbers: Array(numbers[(2 * norm * groups)..<(2 * (norm + 1) * groups)]), points: 1)
                }, of: latent)
        case let kind: throw .malformed("A job's context has tiles of \(kind.prefix(40).debugDescription), which is unknown.")
        }
    }
}

extension GroupMoments {
    /// The means of all groups, then their variances.
    var numbers: [Double] { means + scatters.map { $0 / Double(count) } }

    /// - Parameters:
    ///   - numbers: the means of all groups, then their variances.
    ///   - points: the weight of this part of an image among the others.
    /// - Throws: `.nonFinite` for NaN or infinity, `.malformed` for moments that no numbers in f32 have.
    init(numbers: [Double], points: Int) throws(RenderError) {
        let groups = numbers.count / 2
        guard numbers.allSatisfy(\.isFinite) else { throw .nonFinite("A tile's moments hold NaN or infinity.") }
        let largest = Double(Float.greatestFiniteMagnitude)
        guard numbers[..<groups].allSatisfy({ abs($0) <= largest }),
            numbers[groups...].allSatisfy({ (0...largest * largest).contains($0) })
        else { throw .malformed("A tile's moments have a mean or a variance that no numbers in f32 have.") }
        self.init(
            count: points, means: Array(numbers[..<groups]), scatters: numbers[groups...].map { $0 * Double(points) })
    }
}
