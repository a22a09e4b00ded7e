import Rendering

/// diffusers' tiled autoencoder, for the reference's results: tiles overlap, each is coded alone and blended into its
/// neighbours above and at the left (spec 1.11). Its result differs from the whole
/// picture's, so the program has other tiles: `TiledDecoding`.
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
    func run(_ input: Latent, code: (Latent) throws -> Latent) throws -> Latent {
        var above: [Latent] = []
        var joined: [[Latent]] = []
        for top in stride(from: 0, to: input.height, by: step) {
            var row: [Latent] = []
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
        return OverlapTiling.join(joined)
    }

    /// Blends the end of `before` into the beginning of `tile`, its neighbour below or, with `across`, at the right.
    private static func blend(_ before: Latent, into tile: inout Latent, extent: Int, across: Bool) {
        let extent = min(across ? before.width : before.height, across ? tile.width : tile.height, extent)
        let others = across ? min(before.height, tile.height) : min(before.width, tile.width)
        let (top, left) = across ? (0, before.width - extent) : (before.height - extent, 0)
        for channel in 0..<tile.channels {
            for along in 0..<extent {
                let share = Double(along) / Double(extent)
                for other in 0..<others {
                    let (y, x) = across ? (other, along) : (along, other)
                    let source = (channel * before.height + top + y) * before.width + left + x
                    let target = (channel * tile.height + y) * tile.width + x
                    tile.values[target] = before.values[source] * Float(1 - share) + tile.values[target] * Float(share)
                }
            }
        }
    }

    private static func join(_ rows: [[Latent]]) -> Latent {
        let height = rows.reduce(0) { $0 + $1[0].height }
        let width = rows[0].reduce(0) { $0 + $1.width }
        let channels = rows[0][0].channels
        let values = (0..<channels).flatMap { channel in
            rows.flatMap { row in (0..<row[0].height).flatMap { y in row.flatMap { $0.row(channel, y) } } }
        }
        return Latent(channels: channels, height: height, width: width, values: values)
    }
}

extension Latent {
    fileprivate func row(_ channel: Int, _ y: Int) -> ArraySlice<Float> {
        values[((channel * height + y) * width)...].prefix(width)
    }

    /// The rectangle that begins at `(top, left)` and ends after `side` points each way, or at the border.
    fileprivate func crop(top: Int, left: Int, side: Int) -> Latent {
        let (rows, length) = (top..<min(top + side, height), min(side, width - left))
        let values = (0..<channels).flatMap { channel in rows.flatMap { row(channel, $0).dropFirst(left).prefix(length) } }
        return Latent(channels: channels, height: rows.count, width: length, values: values)
    }
}
