import DiffusionModels
import TestSupport
import Testing

/// Overlapping tiles that fade into each other, against the reference's own steps.
@Suite struct BlendedTilesTests {
    /// Pixels of one channel, row by row.
    private struct Plane: Equatable {
        var (height, width) = (0, 0)
        var values: [Float] = []

        subscript(row: Int, column: Int) -> Float {
            get { values[row * width + column] }
            set { values[row * width + column] = newValue }
        }
    }

    /// As the reference does it: each tile takes the end of the tile above, then that of the tile at the left, which have taken
    /// theirs before; then every tile is cut to the distance of tiles.
    private static func reference(_ tiles: BlendedTiles, _ parts: [Plane], side: Int, scale: Int) -> Plane {
        let (extent, kept) = (side / 4 * scale, side * 3 / 4 * scale)
        var parts = parts
        var result = Plane()
        for row in 0..<tiles.rows {
            for column in 0..<tiles.columns {
                let index = row * tiles.columns + column
                if row > 0 {
                    let above = parts[index - tiles.columns]
                    let length = min(extent, above.height, parts[index].height)
                    for y in 0..<length {
                        let share = Float(y) / Float(length)
                        for x in 0..<parts[index].width {
                            parts[index][y, x] =
                                above[above.height - length + y, x] * (1 - share) + parts[index][y, x] * share
                        }
                    }
                }
                if column > 0 {
                    let left = parts[index - 1]
                    let length = min(extent, left.width, parts[index].width)
                    for x in 0..<length {
                        let share = Float(x) / Float(length)
                        for y in 0..<parts[index].height {
                            parts[index][y, x] = left[y, left.width - length + x] * (1 - share) + parts[index][y, x] * share
                        }
                    }
                }
            }
            let band = Array(parts[row * tiles.columns..<(row + 1) * tiles.columns])
            for y in 0..<min(kept, band[0].height) {
                for part in band { result.values += (0..<min(kept, part.width)).map { part[y, $0] } }
                result.height += 1
            }
        }
        result.width = result.values.count / max(1, result.height)
        return result
    }

    private static func mixed(_ tiles: BlendedTiles, _ parts: [Plane], scale: Int) -> Plane {
        let height = tiles.image.height * scale
        let values = (0..<height).flatMap { y in
            tiles.row(y, scale: scale, channels: 1) { tile, row in
                Array(parts[tile].values[row * parts[tile].width..<(row + 1) * parts[tile].width])
            }
        }
        return Plane(height: height, width: tiles.image.width * scale, values: values)
    }

    private static func parts(_ tiles: BlendedTiles, scale: Int, _ value: (Int) -> Float) -> [Plane] {
        (0..<tiles.count).map { tile in
            let box = tiles[tile].scaled(by: scale)
            return Plane(height: box.height, width: box.width, values: (0..<box.pointCount).map { _ in value(tile) })
        }
    }

    @Test(
        arguments: [
            (18, 17, 16, 8), (25, 20, 16, 8), (100, 33, 16, 2), (13, 61, 12, 3), (5, 9, 4, 1), (64, 65, 64, 2), (49, 16, 16, 2),
        ] as [(Int, Int, Int, Int)])
    func pixelsAreTheReferences(_ height: Int, _ width: Int, _ side: Int, _ scale: Int) throws {
        let tiles = try #require(BlendedTiles(height: height, width: width, side: side))
        var numbers = TestNumbers(seed: 7)
        let parts = Self.parts(tiles, scale: scale) { _ in numbers.floats(1)[0] }
        let (own, other) = (Self.mixed(tiles, parts, scale: scale), Self.reference(tiles, parts, side: side, scale: scale))
        #expect(own.height == other.height && own.width == other.width && own.width == width * scale)
        let worst = zip(own.values, other.values).map { abs($0 - $1) }.max() ?? .infinity
        #expect(worst < 1e-6, "\(worst)")
    }

    /// Sides that 4 does not divide, too: the shares of each pixel sum up to 1.
    @Test(arguments: 4...23) func aFlatPictureStaysFlat(_ side: Int) throws {
        for (height, width) in [(side + 1, 3), (2, 3 * side + 1), (2 * side, 2 * side), (40, 57)] {
            let tiles = try #require(BlendedTiles(height: height, width: width, side: side))
            let flat = Self.mixed(tiles, Self.parts(tiles, scale: 2) { _ in 3 }, scale: 2)
            #expect(flat.values.allSatisfy { abs($0 - 3) < 1e-6 })
            #expect(flat.values.count == height * width * 4)
            // Every point is in a tile, and no tile is outside.
            var covered = Set<Int>()
            for tile in 0..<tiles.count {
                let box = tiles[tile]
                #expect(box.rows.upperBound <= height && box.columns.upperBound <= width && box.pointCount > 0)
                for row in box.rows { for column in box.columns { covered.insert(row * width + column) } }
            }
            #expect(covered.count == height * width)
        }
    }

    /// Tones that differ from tile to tile change in steps no larger than a ramp over the overlap makes.
    @Test func tonesFadeOverTheOverlap() throws {
        let tiles = try #require(BlendedTiles(height: 4, width: 40, side: 16))
        let plane = Self.mixed(tiles, Self.parts(tiles, scale: 8) { Float($0 % 2) }, scale: 8)
        let row = Array(plane.values[..<plane.width])
        let steps = zip(row, row.dropFirst()).map { abs($1 - $0) }
        #expect(steps.allSatisfy { $0 <= 1 / 32 + 1e-6 } && row.contains(0) && row.contains(1))
    }

    @Test func aLatentOfOneTileIsNotBlended() {
        #expect(BlendedTiles(height: 16, width: 16, side: 16) == nil && BlendedTiles(height: 1, width: 9, side: 16) == nil)
        #expect(BlendedTiles(height: 17, width: 1, side: 16) != nil)
    }
}
