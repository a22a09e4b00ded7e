/// Planes of one size, one after the other: the channels of an image, or of several.
struct Planes: Equatable {
    var height: Int
    var width: Int
    var values: [Float]

    /// The rectangle that begins at `(top, left)` and ends after `side` points each way, or where the planes end.
    func crop(top: Int, left: Int, side: Int) -> Planes {
        let (rows, columns) = (top..<min(top + side, height), left..<min(left + side, width))
        var crop: [Float] = []
        for plane in stride(from: 0, to: values.count, by: height * width) {
            for y in rows {
                let start = plane + y * width
                crop += values[(start + columns.lowerBound)..<(start + columns.upperBound)]
            }
        }
        return Planes(height: rows.count, width: columns.count, values: crop)
    }
}

/// diffusers' tiled autoencoder, for the reference's results: tiles overlap, each is coded alone, and each is blended into its
/// neighbours above and at the left (spec 1.11). The program does not tile, as the result differs from the whole picture's.
struct OverlapTiling {
    /// Side of an input tile, and of an output tile.
    let inputSide: Int
    let outputSide: Int
    /// Share of a tile's side that overlaps the next tile, below 1.
    let overlap: Double

    /// Distance between the beginnings of input tiles; at least 1.
    private var step: Int { max(1, Int(Double(inputSide) * (1 - overlap))) }
    private var blend: Int { Int(Double(outputSide) * overlap) }

    /// `input` coded tile by tile.
    func run(_ input: Planes, code: (Planes) throws -> Planes) throws -> Planes {
        var above: [Planes] = []
        var joined: [[Planes]] = []
        for top in stride(from: 0, to: input.height, by: step) {
            var row: [Planes] = []
            for (column, left) in stride(from: 0, to: input.width, by: step).enumerated() {
                var tile = try code(input.crop(top: top, left: left, side: inputSide))
                // Both neighbours are blended ones already.
                if top > 0 { OverlapTiling.blend(above[column], into: &tile, extent: blend, across: false) }
                if let before = row.last { OverlapTiling.blend(before, into: &tile, extent: blend, across: true) }
                row.append(tile)
            }
            above = row
            joined.append(row.map { $0.crop(top: 0, left: 0, side: outputSide - blend) })
        }
        return OverlapTiling.join(joined, planes: above[0].values.count / (above[0].height * above[0].width))
    }

    /// Blends the end of `before` into the beginning of `tile`, its neighbour below or, with `across`, at the right.
    private static func blend(_ before: Planes, into tile: inout Planes, extent: Int, across: Bool) {
        let extent = min(across ? before.width : before.height, across ? tile.width : tile.height, extent)
        let others = across ? min(before.height, tile.height) : min(before.width, tile.width)
        for plane in 0..<(tile.values.count / (tile.height * tile.width)) {
            for along in 0..<extent {
                let share = Float(Double(along) / Double(extent))
                let rest = Float(1 - Double(along) / Double(extent))
                for other in 0..<others {
                    let (y, x) = across ? (other, along) : (along, other)
                    let (top, left) = across ? (0, before.width - extent) : (before.height - extent, 0)
                    let source = (plane * before.height + top + y) * before.width + left + x
                    let target = (plane * tile.height + y) * tile.width + x
                    tile.values[target] = before.values[source] * rest + tile.values[target] * share
                }
            }
        }
    }

    private static func join(_ rows: [[Planes]], planes: Int) -> Planes {
        let height = rows.reduce(0) { $0 + $1[0].height }
        let width = rows[0].reduce(0) { $0 + $1.width }
        var values: [Float] = []
        values.reserveCapacity(planes * height * width)
        for plane in 0..<planes {
            for row in rows {
                for y in 0..<row[0].height {
                    for tile in row {
                        let start = (plane * tile.height + y) * tile.width
                        values += tile.values[start..<(start + tile.width)]
                    }
                }
            }
        }
        return Planes(height: height, width: width, values: values)
    }
}
