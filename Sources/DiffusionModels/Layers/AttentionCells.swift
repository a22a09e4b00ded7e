import TensorCore

/// The attention's results by cells of the image, so that tiles which overlap there compute them once.
struct AttentionCells {
    /// The side of a cell in points.
    static let side = 16

    struct Cell: Hashable {
        let row: Int
        let column: Int
    }

    let image: TiledImage

    /// The results in a tile.
    ///
    /// - Parameters:
    ///   - x: the tile, (1, h, w, channels)
    ///   - box: its place.
    ///   - size: the whole image of the attention.
    ///   - attend: computes the results for points of the tile, (1, points, channels).
    func attended(
        _ x: Tensor, _ box: ImageBox, in size: ImageBox, _ context: ComputeContext,
        _ attend: ([Int]) throws(ComputeError) -> Tensor
    ) throws(ComputeError) -> Tensor {
        let cells = Self.cells(of: box)
        var made: [Cell: Tensor] = [:]
        for cell in cells { made[cell] = image.cell(cell, context) }
        let missing = cells.filter { made[$0] == nil }
        let points = missing.flatMap { Self.points($0, of: box, in: size) }
        if !points.isEmpty {
            let results = try attend(points)
            var first = 0
            for cell in missing {
                let count = Self.points(cell, of: box, in: size).count
                let result = results.tokens(first..<first + count)
                made[cell] = result
                image.keep(result, of: cell, context)
                first += count
            }
        }
        return context.assembled(
            cells.compactMap { cell in made[cell].map { ($0, Self.points(cell, of: box, in: size)) } }, shape: x.shape)
    }

    private static func cells(of box: ImageBox) -> [Cell] {
        (box.rows.lowerBound / side..<(box.rows.upperBound + side - 1) / side).flatMap { row in
            (box.columns.lowerBound / side..<(box.columns.upperBound + side - 1) / side).map { Cell(row: row, column: $0) }
        }
    }

    /// The places of a cell's points in a box that holds the whole cell.
    private static func points(_ cell: Cell, of box: ImageBox, in size: ImageBox) -> [Int] {
        let place = ImageBox(
            rows: cell.row * side..<(cell.row + 1) * side, columns: cell.column * side..<(cell.column + 1) * side
        ).clamped(to: size).relative(to: box)
        return place.rows.flatMap { row in place.columns.map { row * box.width + $0 } }
    }
}
