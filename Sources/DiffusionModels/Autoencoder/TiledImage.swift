import ScratchFiles
import Sentences
public import TensorCore

/// One image on its way through an encoder or a decoder, in tiles.
///
/// Between two group norms a tile depends only on the input around it, so tiles can be computed anywhere. At a norm each tile
/// has the moments of its own part; merged in the order of the tiles they are the whole image's. So the result is that of the
/// whole image, to the bit, with no blending and no seams. Three things make it so: moments are sums in double precision, parts
/// of images have even sides (see `VAEStep.alignment`), and the attention meets all keys in one order.
///
/// Tiles stay in memory between two sections as far as `keptLimit` allows, and in a scratch file beyond it. The same holds for
/// the attention's keys, values and results. A tile that is not here is computed again from the input, with the same bits. So
/// is a tile for which the disk has no room.
public final class TiledImage {
    /// The tiles in latent points, for encoders too.
    public let grid: TileGrid
    /// The whole input, (1, h, w, c), f32.
    let input: Tensor
    /// The most bytes of tiles, keys and values that stay in memory between sections.
    public var keptLimit = Int.max
    /// About the number of keys that are made at once. It does not show in the result.
    var keysAtOnce = TiledImage.keysAtOnce
    static let keysAtOnce = 8192
    /// Whether several tiles want the attention's results in the same cells.
    var sharesCells = true
    /// Bytes of the tiles, keys and values that it keeps in memory.
    public private(set) var keptBytes = 0
    /// The same of tiles alone.
    public var keptTileBytes: Int { tiles.values.reduce(0) { $0 + $1.byteCount } }
    private var tiles: [Int: VAETile] = [:]
    private var keys: [Int: PackedKeys] = [:]
    private var cells: [AttentionCells.Cell: Tensor] = [:]
    /// The forms of the tiles, keys and results in scratch files.
    private var spilledTiles: [Int: VAETile.Form] = [:]
    private var spilledKeys: [Int: PackedKeys.Form] = [:]
    private var spilledCells: [AttentionCells.Cell: (shape: [Int], type: ElementType)] = [:]
    /// Why the last scratch file could not be used; nil if all could.
    public private(set) var problem: String?
    /// The most bytes of all pieces of a scratch file.
    var scratchBytes = SpillFile.places
    private var tileFile: SpillFile?
    private var keyFile: SpillFile?
    private var cellFile: SpillFile?
    /// Bytes of the tile that was taken last. The attention's keys and results leave room for it to come back.
    private var takenBytes = 0

    /// - Parameter input: a decoder's latent or an encoder's picture, (1, h, w, c), f32.
    public init(_ input: Tensor, grid: TileGrid) {
        (self.input, self.grid) = (input, grid)
    }

    /// Uses a scratch file. A disk that fails costs time, not the picture.
    ///
    /// - Returns: whether it worked.
    private func spill(_ body: () throws(ScratchError) -> Void) -> Bool {
        do throws(ScratchError) { try body() } catch {
            problem = error.description
            return false
        }
        return true
    }

    // MARK: Tiles

    /// Takes a tile that waits before `step`; nil if it is not here.
    func takeTile(_ index: Int, before step: Int, _ context: ComputeContext) -> VAETile? {
        takenBytes = 0
        if let tile = tiles.removeValue(forKey: index) {
            keptBytes -= tile.byteCount
            takenBytes = tile.byteCount
            return tile.step == step ? tile : nil
        }
        guard let form = spilledTiles.removeValue(forKey: index), form.step == step else { return nil }
        let tile = VAETile(form, context)
        let isRead = spill { () throws(ScratchError) in try tileFile?.read(into: tile.memory, from: index) }
        return isRead ? tile : nil
    }

    func keep(_ tile: VAETile, _ index: Int, _ context: ComputeContext) {
        if keptBytes + tile.byteCount <= keptLimit {
            keptBytes += tile.byteCount
            tiles[index] = tile
        } else {
            let file = tileFile ?? SpillFile(count: grid.count, bytes: scratchBytes, context)
            tileFile = file
            let isWritten = spill { () throws(ScratchError) in
                try file.write(tile.memory.map { UnsafeRawBufferPointer($0) }, as: index)
            }
            if isWritten { spilledTiles[index] = tile.form }
        }
    }

    // MARK: The attention

    /// The keys and values of a part of the image, kept or made.
    ///
    /// - Parameter count: of all parts.
    func keys(
        _ part: Int, of count: Int, _ context: ComputeContext, _ make: () throws(ComputeError) -> PackedKeys
    ) throws(ComputeError) -> PackedKeys {
        if let kept = keys[part] { return kept }
        if let form = spilledKeys[part] {
            let keys = context.empty(form)
            if spill({ () throws(ScratchError) in try keyFile?.read(into: keys.memory, from: part) }) { return keys }
        }
        let made = try make()
        // Keys of a call that was stopped are unfinished.
        try context.checkIsWanted()
        if keptBytes + takenBytes + made.byteCount <= keptLimit {
            keptBytes += made.byteCount
            keys[part] = made
        } else if count > 1 {
            let file = keyFile ?? SpillFile(count: count, bytes: scratchBytes, context)
            keyFile = file
            let isWritten = spill { () throws(ScratchError) in
                try file.write(made.memory.map { UnsafeRawBufferPointer($0) }, as: part)
            }
            if isWritten { spilledKeys[part] = made.form }
        }
        return made
    }

    /// The attention's result in a cell, (1, points, channels).
    func cell(_ cell: AttentionCells.Cell, _ context: ComputeContext) -> Tensor? {
        guard let form = spilledCells[cell] else { return cells[cell] }
        let result = context.empty(form.shape, of: form.type)
        let isRead = spill { () throws(ScratchError) in try cellFile?.read(into: [result.memory], from: number(of: cell)) }
        return isRead ? result : nil
    }

    /// Keeps the result of a cell.
    func keep(_ result: Tensor, of cell: AttentionCells.Cell, _ context: ComputeContext) {
        guard sharesCells else { return }
        let bytes = result.rawBytes.count
        if keptBytes + takenBytes + bytes <= keptLimit {
            keptBytes += bytes
            // All results of a call share one piece of memory.
            cells[cell] = context.copied(result)
        } else if grid.count > 1 {
            let file = cellFile ?? SpillFile(count: Self.cellsAcross * Self.cellsAcross, bytes: scratchBytes, context)
            cellFile = file
            if spill({ () throws(ScratchError) in try file.write([result.rawBytes], as: number(of: cell)) }) {
                spilledCells[cell] = (result.shape, result.elementType)
            }
        }
    }

    /// The most cells along a side: those of a latent of 16,384 points.
    private static let cellsAcross = 1024

    private func number(of cell: AttentionCells.Cell) -> Int { cell.row * Self.cellsAcross + cell.column }

    /// Frees the attention's keys, values and results, once all tiles are behind the attention.
    func forgetAttention() {
        for part in keys.values { keptBytes -= part.byteCount }
        for cell in cells.values { keptBytes -= cell.rawBytes.count }
        (keys, cells, spilledKeys, spilledCells, keyFile, cellFile) = ([:], [:], [:], [:], nil, nil)
    }
}
