import DiffusionModels

/// The plan for decoding latents: in tiles that fit a worker's memory.
public struct DecodePlan: Sendable, Equatable {
    /// The side of a tile in latent points; nil for tiles of at most `tilePoints`.
    let tileSide: Int?
    /// The most latent points of a tile.
    let tilePoints: Int
    /// Sections of the decoder, and tasks of each tile.
    let sections: Int
    /// Pixels along the side of a latent point.
    let scale: Int

    /// Bytes of memory that a worker's largest activations may take. The weights come on top.
    static let memoryBytes = 2 << 30
    /// The most latent points of a tile in any memory. Larger tiles are no faster, and fewer workers get one.
    static let mostPoints = 128 * 128

    /// - Parameters:
    ///   - scale: pixels along the side of a latent point.
    ///   - tileSide: as requested, in latent points.
    init(_ vae: VAEConfiguration, scale: Int, tileSide: Int?) {
        self.tileSide = tileSide
        tilePoints = min(Self.mostPoints, max(64, Self.memoryBytes / vae.decodeBytesPerPoint))
        sections = vae.decodeSectionCount
        self.scale = scale
    }

    func grid(height: Int, width: Int) -> TileGrid {
        guard let tileSide else { return TileGrid(height: height, width: width, points: tilePoints) }
        return TileGrid(height: height, width: width, tileHeight: tileSide, tileWidth: tileSide)
    }

    /// The tasks of a pass's result. One tile needs no moments of others, so it is one task.
    func tasks(_ pass: RenderPass) -> Int {
        let tiles = grid(height: pass.latentHeight, width: pass.latentWidth).count
        return tiles == 1 ? 1 : tiles * sections
    }
}
