import DiffusionModels
import TensorCore

/// A latent on its way through the autoencoder's decoder, as the coordinator sees it: the moments of the norms so far.
struct TiledDecoding: Sendable {
    /// The use of the pixels.
    enum Purpose: Sendable {
        /// They are the picture.
        case finish
        /// They are enlarged, and the next pass begins with them.
        case enlarge
    }

    let purpose: Purpose
    private let layout: DecodeLayout
    /// The pixels of blended tiles, before they fade into each other.
    private var parts: BlendedPixels?
    /// The context with the latent.
    private let latent: JobContext
    private var moments: [GroupMoments] = []
    /// Pixels along the side of a latent point.
    private let scale: Int
    /// The pixels of the last section.
    private(set) var pixels: PixelFile?
    /// Tiles without pixels.
    private var missing: Set<Int>

    /// - Parameter context: of the job, for the model.
    init(_ latent: Latent, _ plan: DecodePlan, context: JobContext, for purpose: Purpose) {
        scale = plan.scale
        self.purpose = purpose
        layout = plan.layout(height: latent.height, width: latent.width)
        missing = Set(0..<layout.tileCount)
        self.latent = context.with(
            .latent(latent, tileHeight: layout.grid.tileHeight, tileWidth: layout.grid.tileWidth))
    }

    var step: (index: Int, count: Int) { (moments.count, layout.sections) }
    var context: JobContext { moments.isEmpty ? latent : latent.with(.moments(moments, of: latent.hash)) }
    var base: JobContext? { moments.isEmpty ? nil : latent }
    var isLast: Bool { moments.count + 1 == layout.sections }

    /// A task for each tile.
    var works: [DecodeWork] { (0..<layout.tileCount).map { layout.work($0, section: moments.count) } }

    /// Merges the moments of all tiles, in their order.
    mutating func merge(_ outputs: [TaskOutput]) throws(RenderError) {
        var whole: GroupMoments?
        for (tile, output) in outputs.enumerated() {
            let own = try GroupMoments(numbers: output.doubles, points: layout.box(tile).pointCount)
            whole = whole?.merged(with: own) ?? own
        }
        if let whole { moments.append(whole) }
    }

    /// The same before the first pixels of the last section.
    var restarted: TiledDecoding {
        var decoding = self
        (decoding.pixels, decoding.parts, decoding.missing) = (nil, nil, Set(0..<layout.tileCount))
        return decoding
    }

    /// Whether the last section has given the pixels of all tiles.
    var isComplete: Bool { missing.isEmpty }

    /// Takes the pixels of a tile, in any order.
    mutating func take(_ output: TaskOutput, of tile: Int) throws(RenderError) {
        if let blended = layout.blended { return try take(output, of: tile, blended) }
        if pixels == nil {
            pixels = try PixelFile(width: layout.grid.image.width * scale, height: layout.grid.image.height * scale)
        }
        try pixels?.write(output.rgb, to: layout.box(tile).scaled(by: scale))
        missing.remove(tile)
    }

    /// The last tile makes the picture.
    private mutating func take(_ output: TaskOutput, of tile: Int, _ blended: BlendedTiles) throws(RenderError) {
        if parts == nil { parts = try BlendedPixels(blended, scale: scale) }
        try parts?.write(output.rgb, of: tile)
        if missing == [tile] { pixels = try parts?.mixed() }
        missing.remove(tile)
        if missing.isEmpty { parts = nil }
    }
}
