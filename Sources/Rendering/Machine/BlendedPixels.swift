import DiffusionModels

/// The pixels of overlapping tiles, outside memory, until all are there and fade into each other.
struct BlendedPixels: Sendable {
    private let tiles: BlendedTiles
    /// Pixels along the side of a latent point.
    private let scale: Int
    /// One tile below the other, each in the first rows and columns of a square.
    private let file: PixelFile

    /// - Throws: `.storage` without a place for them.
    init(_ tiles: BlendedTiles, scale: Int) throws(RenderError) {
        (self.tiles, self.scale) = (tiles, scale)
        file = try PixelFile(width: tiles.side * scale, height: tiles.count * tiles.side * scale)
    }

    /// - Parameter rgb: the pixels of a tile, row by row.
    func write(_ rgb: [UInt8], of tile: Int) throws(RenderError) {
        let (top, box) = (tile * tiles.side * scale, tiles[tile].scaled(by: scale))
        try file.write(rgb, to: ImageBox(rows: top..<top + box.height, columns: 0..<box.width))
    }

    /// The picture. The mean of two tiles is rounded half to even.
    func mixed() throws(RenderError) -> PixelFile {
        let (height, width) = (tiles.image.height * scale, tiles.image.width * scale)
        let picture = try PixelFile(width: width, height: height)
        for y in 0..<height {
            let row = try tiles.row(y, scale: scale, channels: 3) { (tile, row) throws(RenderError) in
                let place = tile * tiles.side * scale + row
                return try file.row(place, columns: 0..<tiles[tile].width * scale).map(Float.init)
            }
            let bytes = row.map { UInt8($0.rounded(.toNearestOrEven)) }
            try picture.write(bytes, to: ImageBox(rows: y..<y + 1, columns: 0..<width))
        }
        return picture
    }
}
