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

    func layout(height: Int, width: Int) -> DecodeLayout {
        if let blendedSide, let tiles = BlendedTiles(height: height, width: width, side: blendedSide) {
            return DecodeLayout(grid: TileGrid(height: height, width: width), blended: tiles, sections: 1)
        }
        let grid =
            tileSide.map { TileGrid(height: height, width: width, tileHeight: $0, tileWidth: $0) }
            ?? TileGrid(height: height, width: width, points: tilePoints)
        return DecodeLayout(grid: grid, blended: nil, sections: grid.count == 1 ? 1 : sections)
    }
}

/// The tiles of one latent, and the sections in which they are decoded.
struct DecodeLayout: Sendable {
    /// Tiles that go from section to section together. With blended tiles it is one tile.
    let grid: TileGrid
    /// Overlapping tiles that are decoded each by itself; nil for exact tiles and for one tile.
    let blended: BlendedTiles?
    /// One tile needs no moments of others, and a blended one takes none: then there is one section.
    let sections: Int

    var tileCount: Int { blended?.count ?? grid.count }
    var taskCount: Int { tileCount * sections }

    /// Pixels of blended tiles that wait until all are there; 0 for exact tiles.
    ///
    /// - Parameter scale: pixels along the side of a latent point.
    func waitingPixels(scale: Int) -> Int { blended.map { $0.count * $0.side * $0.side * scale * scale } ?? 0 }

    /// The part of the latent that a tile is. The first is the largest.
    func box(_ tile: Int) -> ImageBox { blended?[tile] ?? grid[tile] }

    func work(_ tile: Int, section: Int) -> DecodeWork {
        let box = box(tile)
        let corner = blended.map { _ in DecodeWork.Corner(top: box.rows.lowerBound, left: box.columns.lowerBound) }
        return DecodeWork(
            tile: tile, section: sections == 1 ? nil : section, corner: corner, height: box.height, width: box.width,
            isLast: section + 1 == sections)
    }
}

extension RenderPlan {
    /// The most bytes of a picture's pixels in scratch files at once: three bytes for each pixel, and for each pixel of blended
    /// tiles.
    package var pixelBytes: Int {
        passes.map { pass in
            let layout = decoding.layout(height: pass.latentHeight, width: pass.latentWidth)
            let scale = latentScale
            return 3 * (pass.latentHeight * pass.latentWidth * scale * scale + layout.waitingPixels(scale: scale))
        }.max() ?? 0
    }

    /// The side of blended tiles in latent points, if any latent has several.
    var blendedTileSide: Int? {
        passes.contains { decoding.layout(height: $0.latentHeight, width: $0.latentWidth).blended != nil }
            ? decoding.blendedSide : nil
    }

    /// Where the blended tiles of the picture begin and end, in latent points; nil for exact tiles and for one tile.
    package var blendedTileBorders: (columns: [Int], rows: [Int])? {
        decoding.layout(height: latentHeight, width: latentWidth).blended.map { tiles in
            let boxes = (0..<tiles.count).map { tiles[$0] }
            return (
                boxes.flatMap { [$0.columns.lowerBound, $0.columns.upperBound] },
                boxes.flatMap { [$0.rows.lowerBound, $0.rows.upperBound] }
            )
        }
    }
}
