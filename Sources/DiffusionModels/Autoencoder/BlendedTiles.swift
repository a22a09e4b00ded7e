/// A latent in overlapping tiles, each decoded by itself, whose pixels fade into each other: the way of diffusers and most
/// other programs. Norms and attention see only one tile, so tones differ from tile to tile and the fading hides the borders.
/// It is here to be compared with the exact decode in tiles.
///
/// Source: `AutoencoderKL._tiled_decode` of diffusers 0.42. A tile begins each three quarters of a side. diffusers fades over a
/// quarter of the side instead of the true overlap, which is the same for sides that 4 divides.
public struct BlendedTiles: Sendable, Hashable {
    /// The whole latent.
    public let image: ImageBox
    /// The side of a tile in latent points.
    public let side: Int

    /// The shortest side: a quarter of it is one point.
    public static let leastSide = 4

    /// nil for a latent that one tile holds: then there is nothing to blend.
    ///
    /// - Parameter side: at least `leastSide`.
    public init?(height: Int, width: Int, side: Int) {
        precondition(height > 0 && width > 0 && side >= Self.leastSide, "\(height)×\(width) has no blended tiles of \(side)")
        guard height > side || width > side else { return nil }
        (image, self.side) = (ImageBox(height: height, width: width), side)
    }

    /// The distance of neighbouring tiles.
    var step: Int { side * 3 / 4 }
    var overlap: Int { side - step }

    public var rows: Int { (image.height + step - 1) / step }
    public var columns: Int { (image.width + step - 1) / step }
    public var count: Int { rows * columns }

    /// The box of a tile. Those at the right and at the bottom end with the latent.
    public subscript(index: Int) -> ImageBox {
        let (row, column) = index.quotientAndRemainder(dividingBy: columns)
        return ImageBox(
            rows: row * step..<min(row * step + side, image.height),
            columns: column * step..<min(column * step + side, image.width))
    }

    /// A row of pixels of the whole image.
    ///
    /// Each tile fades into the tile above, which has faded into its left neighbour before, and then into its own left
    /// neighbour. So where four tiles meet, their shares are not those of two ramps.
    ///
    /// - Parameters:
    ///   - y: the row, from the top.
    ///   - scale: pixels along the side of a latent point.
    ///   - channels: numbers of a pixel, one after the other.
    ///   - read: gives a row of a tile's pixels.
    public func row<Failure: Error>(
        _ y: Int, scale: Int, channels: Int, read: (_ tile: Int, _ row: Int) throws(Failure) -> [Float]
    ) throws(Failure) -> [Float] {
        let (tileRow, own) = y.quotientAndRemainder(dividingBy: step * scale)
        // The last tiles may be lower than the overlap.
        let length = min(overlap * scale, image.height * scale - tileRow * step * scale)
        let share = tileRow == 0 || own >= length ? 1 : Float(own) / Float(length)
        var result: [Float] = []
        result.reserveCapacity(image.width * scale * channels)
        var (left, leftAbove): ([Float], [Float]) = ([], [])
        for column in 0..<columns {
            var line = try read(tileRow * columns + column, own)
            if share < 1 {
                let above = try read((tileRow - 1) * columns + column, own + step * scale)
                var faded = above
                fade(&faded, after: leftAbove, overlap * scale, channels)
                for index in line.indices { line[index] = Self.mix(faded[index], line[index], share) }
                leftAbove = above
            }
            let unfaded = line
            fade(&line, after: left, overlap * scale, channels)
            result += line.prefix(step * scale * channels)
            left = unfaded
        }
        return result
    }

    /// Lets a row of a tile begin as the end of the row at its left, if there is one.
    private func fade(_ line: inout [Float], after left: [Float], _ overlap: Int, _ channels: Int) {
        let length = min(overlap * channels, left.count, line.count)
        for place in 0..<length {
            let share = Float(place / channels) / Float(length / channels)
            line[place] = Self.mix(left[left.count - length + place], line[place], share)
        }
    }

    private static func mix(_ before: Float, _ own: Float, _ share: Float) -> Float { before * (1 - share) + own * share }
}
