public import TensorCore

/// One image on its way through an encoder or a decoder, in tiles.
///
/// Between two group norms a tile depends only on the input around it, so tiles can be computed anywhere. At a norm each tile
/// has the moments of its own part; merged in the order of the tiles they are the whole image's. So the result is that of the
/// whole image, to the bit, with no blending and no seams. Three things make it so: moments are sums in double precision, parts
/// of images have even sides (see `VAEStep.alignment`), and the attention meets all keys in one order.
///
/// Tiles stay in memory between two stages as far as `keptLimit` allows. A tile that was not kept is computed again from the
/// input, with the same bits.
public final class TiledImage {
    /// In latent points, for encoders too.
    public let grid: TileGrid
    /// The whole input, (1, h, w, c), f32.
    let input: Tensor
    /// The most bytes of tiles, keys and values that stay between stages.
    public var keptLimit = Int.max
    /// About the number of keys that are made at once. It does not show in the result.
    var keysAtOnce = 8192
    /// Bytes of the tiles, keys and values that it keeps.
    public private(set) var keptBytes = 0
    private var tiles: [Int: VAETile] = [:]
    private var keys: [Int: PackedKeys] = [:]
    private var cells: [AttentionCells.Cell: Tensor] = [:]
    private var hasLostTiles = false
    /// Bytes of the tile that was taken last. What serves the attention leaves it room to come back.
    private var takenBytes = 0

    /// - Parameter input: a decoder's latent or an encoder's picture, (1, h, w, c), f32.
    public init(_ input: Tensor, grid: TileGrid) {
        (self.input, self.grid) = (input, grid)
    }

    /// Takes a tile that waits before `step`.
    func takeTile(_ index: Int, before step: Int) -> VAETile? {
        takenBytes = 0
        guard let tile = tiles.removeValue(forKey: index) else { return nil }
        keptBytes -= tile.byteCount
        takenBytes = tile.byteCount
        return tile.step == step ? tile : nil
    }

    func keep(_ tile: VAETile, _ index: Int) {
        guard keptBytes + tile.byteCount <= keptLimit else {
            hasLostTiles = true
            return
        }
        keptBytes += tile.byteCount
        tiles[index] = tile
    }

    /// The keys and values of a part of the image, kept or made.
    func keys(
        _ part: Int, _ make: () throws(ComputeError) -> PackedKeys
    ) throws(ComputeError) -> PackedKeys {
        if let kept = keys[part] { return kept }
        let made = try make()
        if keptBytes + takenBytes + made.byteCount <= keptLimit {
            keptBytes += made.byteCount
            keys[part] = made
        }
        return made
    }

    /// The attention's result in a cell, (1, points, channels).
    func cell(_ cell: AttentionCells.Cell) -> Tensor? { cells[cell] }

    /// - Parameter result: in memory of its own.
    func keep(_ result: () -> Tensor, bytes: Int, of cell: AttentionCells.Cell) {
        guard keptBytes + takenBytes + bytes <= keptLimit else { return }
        keptBytes += bytes
        cells[cell] = result()
    }

    /// Frees what served the attention, which all tiles have behind them. If tiles were lost, its results stay: computing them
    /// again would take longest.
    func forgetAttention() {
        for part in keys.values { keptBytes -= part.byteCount }
        keys = [:]
        guard !hasLostTiles else { return }
        for cell in cells.values { keptBytes -= cell.rawBytes.count }
        cells = [:]
    }
}
