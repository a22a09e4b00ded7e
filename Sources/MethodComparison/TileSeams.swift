package import DiffusionModels
package import Rendering
import TensorCore

/// The difference that the tiles of a decoder make: exact and blended ones, beside the whole decode.
package struct TileSeams {
    /// `flat` or `sloping`.
    package let latent: String
    package let exact: Figures
    package let blended: Figures

    /// Levels of an 8-bit channel.
    package struct Figures {
        /// The largest step between two neighbouring pixels at the end of an exact tile, or at the beginning or the end of a
        /// fading, beyond the step of the whole decode there.
        package private(set) var seam = 0.0
        /// The largest difference from the whole decode anywhere.
        package private(set) var level = 0.0
        /// The largest difference of a tile's mean.
        package private(set) var tone = 0.0
    }

    /// The figures in a sentence: steps and means, in levels of 8 bits.
    package var text: String {
        func text(_ figures: Figures) -> String {
            "\(Decimal.fixed(figures.seam, digits: 1)) and \(Decimal.fixed(figures.tone, digits: 1))"
        }
        return "\(latent): exact \(text(exact)), blended \(text(blended))"
    }

    /// The same for one and a half tiles of a side.
    ///
    /// - Parameter tileSide: in latent points, at least 4.
    package static func all(of runner: TaskRunner, tileSide: Int) throws -> [TileSeams] {
        let side = tileSide + (tileSide + 1) / 2
        guard let tiles = BlendedTiles(height: side, width: side, side: tileSide) else { return [] }
        return try all(of: runner, tiles)
    }

    /// Decodes a flat latent and a sloping one with the model of a runner.
    ///
    /// - Parameter tiles: of a square latent.
    package static func all(of runner: TaskRunner, _ tiles: BlendedTiles) throws -> [TileSeams] {
        let decoder = try runner.networks().decoder()
        return try LatentShape.allCases.map { shape in
            let input = shape.latent(side: tiles.image.width, channels: decoder.configuration.latentChannels)
            let decodes = try TileDecodes(input, tiles, decoder)
            return TileSeams(
                latent: shape.rawValue,
                exact: Figures(decodes.exact, at: decodes.exactBorders, beside: decodes.whole, decodes),
                blended: Figures(decodes.blended, at: decodes.blendedBorders, beside: decodes.whole, decodes))
        }
    }
}

/// A latent in which every tile's borders would show.
private enum LatentShape: String, CaseIterable {
    case flat, sloping

    /// (1, side, side, channels). Each channel has its own tone; in a sloping one it changes along both sides.
    func latent(side: Int, channels: Int) -> Tensor {
        let values = (0..<side * side).flatMap { point -> [Float] in
            let along = Float(point / side + point % side) / Float(2 * side) - 0.5
            return (0..<channels).map { channel in
                let tone = Float(channel % 4) * 0.4 - 0.6
                return self == .flat ? tone : tone + along * (channel % 2 == 0 ? 2 : -2)
            }
        }
        return Tensor(values, shape: [1, side, side, channels])
    }
}

/// The same latent decoded in three ways, as levels of 8 bits that are not rounded.
private struct TileDecodes {
    let side: Int
    let channels: Int
    let scale: Int
    let tiles: BlendedTiles
    let whole: [Float]
    let exact: [Float]
    let blended: [Float]

    init(_ input: Tensor, _ tiles: BlendedTiles, _ decoder: VAEDecoder) throws {
        let (latent, scale) = (tiles.image.width, decoder.configuration.scale)
        let whole = TiledImage(input, grid: TileGrid(height: latent, width: latent))
        let pixels = try decoder.decode(whole)
        let (side, channels) = (latent * scale, pixels.shape[3])
        var exact = [Float](repeating: .nan, count: side * side * channels)
        let grid = TileGrid(height: latent, width: latent, tileHeight: tiles.side, tileWidth: tiles.side)
        try decoder.decode(TiledImage(input, grid: grid)) { tile, part in
            let (box, values) = (grid[tile].scaled(by: scale), Self.levels(part))
            let length = box.width * channels
            for y in 0..<box.height {
                let place = ((box.rows.lowerBound + y) * side + box.columns.lowerBound) * channels
                exact.replaceSubrange(place..<place + length, with: values[y * length..<(y + 1) * length])
            }
        }
        let parts = try (0..<tiles.count).map { Self.levels(try decoder.decode(tiles[$0], of: whole)) }
        blended = (0..<side).flatMap { y in
            tiles.row(y, scale: scale, channels: channels) { tile, row in
                let length = tiles[tile].width * scale * channels
                return Array(parts[tile][row * length..<(row + 1) * length])
            }
        }
        (self.side, self.channels, self.scale, self.tiles) = (side, channels, scale, tiles)
        (self.whole, self.exact) = (Self.levels(pixels), exact)
    }

    private static func levels(_ pixels: Tensor) -> [Float] { pixels.array.map { min(255, max(0, ($0 / 2 + 0.5) * 255)) } }

    /// Where exact tiles end along a side, in pixels.
    var exactBorders: [Int] { stride(from: tiles.side * scale, to: side, by: tiles.side * scale).map { $0 } }

    /// Where fadings begin and end along a side, in pixels.
    var blendedBorders: [Int] {
        let ends = (0..<tiles.columns).flatMap { [tiles[$0].columns.lowerBound, tiles[$0].columns.upperBound] }
        return Set(ends.map { $0 * scale }).filter { $0 > 0 && $0 < side }.sorted()
    }
}

extension TileSeams.Figures {
    fileprivate init(_ picture: [Float], at borders: [Int], beside whole: [Float], _ decodes: TileDecodes) {
        guard picture.count == whole.count, picture.allSatisfy(\.isFinite), whole.allSatisfy(\.isFinite) else {
            (seam, level, tone) = (.infinity, .infinity, .infinity)
            return
        }
        let (side, channels) = (decodes.side, decodes.channels)
        func step(_ picture: [Float], _ place: Int, _ before: Int) -> Float { abs(picture[place] - picture[before]) }
        for border in borders {
            for along in 0..<side {
                for channel in 0..<channels {
                    let column = (along * side + border) * channels + channel
                    let row = (border * side + along) * channels + channel
                    for (place, before) in [(column, column - channels), (row, row - side * channels)] {
                        seam = max(seam, Double(step(picture, place, before) - step(whole, place, before)))
                    }
                }
            }
        }
        level = Double(zip(picture, whole).map { abs($0 - $1) }.max() ?? .nan)
        for tile in 0..<decodes.tiles.count {
            let box = decodes.tiles[tile].scaled(by: decodes.scale)
            var sums = [Double](repeating: 0, count: channels)
            for y in box.rows {
                for place in (y * side + box.columns.lowerBound) * channels..<(y * side + box.columns.upperBound) * channels {
                    sums[place % channels] += Double(picture[place] - whole[place])
                }
            }
            tone = max(tone, sums.map { abs($0) / Double(box.pointCount) }.max() ?? 0)
        }
    }
}
