import DiffusionModels

/// The plan for decoding latents: in tiles that fit a worker's memory, or in blended tiles.
public struct DecodePlan: Sendable, Equatable {
    /// The side of a tile in latent points; nil for tiles of at most `tilePoints`.
    let tileSide: Int?
    /// The most latent points of a tile.
    let tilePoints: Int
    /// Sections of the decoder, and tasks of each tile.
    let sections: Int
    /// Pixels along the side of a latent point.
    let scale: Int
    /// The side of blended tiles in latent points; nil for exact tiles.
    let blendedSide: Int?

    /// Bytes of memory that a worker's largest activations may take. The weights come on top.
    static let memoryBytes = 2 << 30
    /// The most latent points of a tile in any memory. Larger tiles are no faster, and fewer workers get one.
    static let mostPoints = 128 * 128

    /// - Parameters:
    ///   - scale: pixels along the side of a latent point.
    ///   - tileSide: as requested, in latent points.
    ///   - blendedSide: the side of blended tiles if they were requested, in latent points.
    init(_ vae: VAEConfiguration, scale: Int, tileSide: Int?, blendedSide: Int?) {
        self.blendedSide = blendedSide
        self.tileSide = tileSide
        tilePoints = min(Self.mostPoints, max(64, Self.memoryBytes / vae.decodeBytesPerPoint))
        sections = vae.decodeSectionCount
        self.scale = scale
    }

    func grid(height: Int, width: Int) -> TileGrid {
        guard let tileSide else { return TileGrid(height: height, width: width, points: tilePoints) }
        return TileGrid(height: height, width: width, tileHeight: tileSide, tileWidth: tileSide)
    }

    /// The blended tiles; nil for exact ones, and for a latent of one tile.
    func blendedTiles(height: Int, width: Int) -> BlendedTiles? {
        blendedSide.flatMap { BlendedTiles(height: height, width: width, side: $0) }
    }

    /// The largest part of a latent that a task decodes.
    func largestTile(height: Int, width: Int) -> ImageBox {
        blendedTiles(height: height, width: width)?[0] ?? grid(height: height, width: width)[0]
    }

    /// The tasks of a pass's result. One tile needs no moments of others, so it is one task.
    func tasks(_ pass: RenderPass) -> Int {
        if let tiles = blendedTiles(height: pass.latentHeight, width: pass.latentWidth) { return tiles.count }
        let tiles = grid(height: pass.latentHeight, width: pass.latentWidth).count
        return tiles == 1 ? 1 : tiles * sections
    }
}

extension RenderPlan {
    /// The side of blended tiles in latent points, if any latent has several.
    var blendedTileSide: Int? {
        passes.contains { decoding.blendedTiles(height: $0.latentHeight, width: $0.latentWidth) != nil }
            ? decoding.blendedSide : nil
    }

    /// Where the blended tiles of the picture begin and end, in latent points; nil for exact tiles and for one tile.
    package var blendedTileBorders: (columns: [Int], rows: [Int])? {
        decoding.blendedTiles(height: latentHeight, width: latentWidth).map { tiles in
            let boxes = (0..<tiles.count).map { tiles[$0] }
            return (
                boxes.flatMap { [$0.columns.lowerBound, $0.columns.upperBound] },
                boxes.flatMap { [$0.rows.lowerBound, $0.rows.upperBound] }
            )
        }
    }
}
