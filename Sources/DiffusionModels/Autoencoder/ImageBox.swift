/// A rectangle of an image's points.
public struct ImageBox: Sendable, Hashable {
    public var rows: Range<Int>
    public var columns: Range<Int>

    public init(rows: Range<Int>, columns: Range<Int>) { (self.rows, self.columns) = (rows, columns) }

    /// A whole image.
    public init(height: Int, width: Int) { self.init(rows: 0..<height, columns: 0..<width) }

    public var height: Int { rows.count }
    public var width: Int { columns.count }
    public var pointCount: Int { height * width }

    /// The same rectangle of an image that is `factor` times as large.
    public func scaled(by factor: Int) -> ImageBox { map { $0.lowerBound * factor..<$0.upperBound * factor } }

    /// The box with `margin` more points on each side that is inside the image.
    func expanded(by margin: Int, in image: ImageBox) -> ImageBox {
        map { $0.lowerBound - margin..<$0.upperBound + margin }.clamped(to: image)
    }

    /// The smallest box around it whose sides lie at multiples of a number, as far as they are inside the image.
    func aligned(to multiple: Int, in image: ImageBox) -> ImageBox {
        map { $0.lowerBound / multiple * multiple..<($0.upperBound + multiple - 1) / multiple * multiple }.clamped(to: image)
    }

    func clamped(to image: ImageBox) -> ImageBox {
        ImageBox(rows: rows.clamped(to: image.rows), columns: columns.clamped(to: image.columns))
    }

    func contains(_ other: ImageBox) -> Bool { other.clamped(to: self) == other }

    /// Its place in a part of the image.
    func relative(to part: ImageBox) -> ImageBox {
        ImageBox(
            rows: rows.lowerBound - part.rows.lowerBound..<rows.upperBound - part.rows.lowerBound,
            columns: columns.lowerBound - part.columns.lowerBound..<columns.upperBound - part.columns.lowerBound)
    }

    func map(_ transform: (Range<Int>) -> Range<Int>) -> ImageBox {
        ImageBox(rows: transform(rows), columns: transform(columns))
    }
}

/// The tiles of a latent, row by row: equal rectangles, smaller at the right and at the bottom. Tiles do not overlap.
public struct TileGrid: Sendable, Hashable {
    /// The whole latent.
    public let image: ImageBox
    public let tileHeight: Int
    public let tileWidth: Int

    public init(height: Int, width: Int, tileHeight: Int, tileWidth: Int) {
        precondition(
            height > 0 && width > 0 && tileHeight > 0 && tileWidth > 0,
            "\(height)×\(width) has no tiles of \(tileHeight)×\(tileWidth)")
        image = ImageBox(height: height, width: width)
        (self.tileHeight, self.tileWidth) = (min(tileHeight, height), min(tileWidth, width))
    }

    /// One tile.
    public init(height: Int, width: Int) {
        self.init(height: height, width: width, tileHeight: height, tileWidth: width)
    }

    /// About equal tiles, as square as the latent allows, of at most `points` points.
    public init(height: Int, width: Int, points: Int) {
        let side = max(1, Int(Double(points).squareRoot()))
        // If the latent is narrower than a square of this number of points, a tile may be longer instead.
        let (tallest, widest) = (width < side ? points / width : side, height < side ? points / height : side)
        func equal(_ length: Int, _ most: Int) -> Int {
            let count = (length + most - 1) / most
            return (length + count - 1) / count
        }
        self.init(
            height: height, width: width, tileHeight: equal(height, min(tallest, height)),
            tileWidth: equal(width, min(widest, width)))
    }

    public var rows: Int { (image.height + tileHeight - 1) / tileHeight }
    public var columns: Int { (image.width + tileWidth - 1) / tileWidth }
    public var count: Int { rows * columns }

    /// The box of a tile.
    public subscript(index: Int) -> ImageBox {
        let (row, column) = index.quotientAndRemainder(dividingBy: columns)
        return ImageBox(
            rows: row * tileHeight..<min((row + 1) * tileHeight, image.height),
            columns: column * tileWidth..<min((column + 1) * tileWidth, image.width))
    }
}
