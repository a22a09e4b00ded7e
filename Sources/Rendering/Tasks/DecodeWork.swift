import DiffusionModels
import Sentences
package import StrictJSON
import TensorCore

/// A section of the autoencoder's decoder for one tile of a latent. The context holds the latent, and the moments of the norms
/// of earlier sections.
package struct DecodeWork: TaskWork {
    package var tile: Int
    /// The section; nil for all sections at once, which needs a latent of one tile, or a corner.
    package var section: Int?
    /// Where the tile begins in the latent if it is decoded by itself, as if it were a whole latent; nil for a tile of the
    /// context's grid.
    var corner: Corner?
    /// Extents of the tile in latent points.
    package var height: Int
    package var width: Int
    /// Whether its output is pixels, not moments.
    var isLast: Bool

    /// A point of the latent.
    struct Corner: Sendable, Equatable {
        var top: Int
        var left: Int
    }

    package var thread: Int? { section == nil ? nil : tile }

    package var cost: Double { Double(height * width) * 4 }

    package func output(of model: ModelDescription) -> OutputShape {
        isLast
            ? .pixels(width: width * model.scaleFactor, height: height * model.scaleFactor)
            : .tileMoments(groups: model.vae.normGroups)
    }

    package func run(on model: ModelNetworks, in context: OpenedContext) throws -> TaskOutput {
        let decoder = try model.decoder()
        if let corner, let image = context.image { return output(try decoder.decode(try box(corner), of: image)) }
        guard let image = context.image, tile < image.grid.count, image.grid[tile].height == height,
            image.grid[tile].width == width
        else { throw ModelError(.input, "its context has no tile \(tile) of \(height)×\(width).") }
        guard let section else {
            guard image.grid.count == 1, isLast else { throw ModelError(.input, "its latent has several tiles.") }
            return output(try decoder.decode(image))
        }
        guard section == context.moments.count, section < decoder.sectionCount, isLast == (section + 1 == decoder.sectionCount)
        else {
            throw ModelError(
                .input, "its context has the moments of \(context.moments.count) sections, not those before \(section).")
        }
        switch try decoder.run(section, tile: tile, of: image, moments: context.moments) {
        case .moments(let moments): return .moments(moments)
        case .finished(let pixels): return output(pixels)
        }
    }

    private func box(_ corner: Corner) throws(ModelError) -> ImageBox {
        guard section == nil, isLast else { throw ModelError(.input, "a tile with a corner has no sections.") }
        return ImageBox(rows: corner.top..<corner.top + height, columns: corner.left..<corner.left + width)
    }

    private func output(_ pixels: Tensor) -> TaskOutput {
        .pixels(width: pixels.shape[2], height: pixels.shape[1], rgb: pixels.array.map(Self.byte))
    }

    /// −1…1 to 0…255, as in diffusers: halve and shift, clamp, scale, round half to even.
    private static func byte(_ value: Float) -> UInt8 {
        UInt8((min(1, max(0, value / 2 + 0.5)) * 255).rounded(.toNearestOrEven))
    }
}

// MARK: Output

extension OutputShape {
    /// A mean and a variance of each group.
    static func tileMoments(groups: Int) -> OutputShape {
        OutputShape("tile moments", of: .f64, ["groups": groups], count: 2 * groups)
    }

    static func pixels(width: Int, height: Int) -> OutputShape {
        OutputShape("pixels", of: .u8, ["width": width, "height": height], count: width * height * 3)
    }
}

extension TaskOutput {
    /// - Parameter rgb: row by row, three bytes a pixel.
    public static func pixels(width: Int, height: Int, rgb: [UInt8]) -> TaskOutput {
        TaskOutput(.pixels(width: width, height: height), rgb: rgb)
    }

    static func moments(_ moments: GroupMoments) -> TaskOutput {
        TaskOutput(.tileMoments(groups: moments.means.count), doubles: moments.numbers)
    }
}

// MARK: On the wire

extension DecodeWork {
    package static var callTitle: String? { "section" }

    package static var keys: [String] { ["tile", "section", "top", "left", "height", "width", "last"] }

    package func write(to metadata: inout JSONObject) -> [UInt8] {
        metadata["tile"] = .integer(Int64(tile))
        metadata["section"] = section.map { .integer(Int64($0)) }
        metadata["top"] = corner.map { .integer(Int64($0.top)) }
        metadata["left"] = corner.map { .integer(Int64($0.left)) }
        metadata["height"] = .integer(Int64(height))
        metadata["width"] = .integer(Int64(width))
        metadata["last"] = .bool(isLast)
        return []
    }

    package init(_ metadata: WireFields, _ payload: [UInt8]) throws(RenderError) {
        guard payload.isEmpty else { throw .malformed("A task that decodes a tile has a payload.") }
        tile = try metadata.integer("tile", 0...TaskLimits.tiles)
        section = try metadata.optional("section", .integer(0...TaskLimits.norms))
        height = try metadata.integer("height", TaskLimits.latentSide)
        width = try metadata.integer("width", TaskLimits.latentSide)
        isLast = try metadata.flag("last")
        let place = 0...TaskLimits.latentSide.upperBound
        let (top, left) = (try metadata.optional("top", .integer(place)), try metadata.optional("left", .integer(place)))
        guard (top == nil) == (left == nil) else { throw .malformed("A tile's corner has one number of two.") }
        guard top == nil || section == nil && isLast else { throw .malformed("A tile with a corner has no sections.") }
        if let top, let left { corner = Corner(top: top, left: left) }
    }
}
