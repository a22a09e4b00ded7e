/// Measures whether the borders of views are visible in a picture.
public enum SeamScore {
    /// The steps at view borders compared with steps elsewhere: 1 if borders are as smooth as the rest or nothing can be
    /// said, 1 + h for borders with steps of h levels on otherwise smooth content, below 1 if they are smoother.
    ///
    /// The step between two neighbouring pixels is measured against the trend, the mean of the steps just before and just
    /// after it. So a gradient has no step. The channel with the largest step counts, in 8-bit levels, and at most 16, so
    /// that the outlines of the subject do not hide a seam. Both means get one level more, since less than that could be
    /// rounding. Pixels within two of a border count for neither side.
    ///
    /// - Parameters:
    ///   - columns: borders that run down, each as the number of the first pixel column to its right. Borders outside the
    ///     picture, and at 0 and the width, are skipped.
    ///   - rows: borders that run across, each as the number of the first pixel row below it.
    public static func score(_ image: RGBImage, columns: [Int], rows: [Int]) -> Double {
        let channels = image.channels
        let down = steps(channels, borders: columns)
        let across = steps(channels.map { $0.transposed() }, borders: rows)
        let (atBorders, elsewhere) = (down.atBorders + across.atBorders, down.elsewhere + across.elsewhere)
        guard atBorders.count > 0, elsewhere.count > 0 else { return 1 }
        return (atBorders.mean + levelsFloor) / (elsewhere.mean + levelsFloor)
    }

    private static let levelsFloor = 1.0
    private static let levelsMax = 16.0
    private static let guardPixels = 2

    private struct Sum {
        var total = 0.0
        var count = 0
        var mean: Double { total / Double(count) }

        static func + (one: Sum, other: Sum) -> Sum {
            Sum(total: one.total + other.total, count: one.count + other.count)
        }
    }

    /// The steps between neighbouring columns, at borders that run down and elsewhere.
    private static func steps(_ channels: [Plane], borders: [Int]) -> (atBorders: Sum, elsewhere: Sum) {
        let (width, height) = (channels[0].width, channels[0].height)
        let inside = Set(borders.filter { (1..<width).contains($0) })
        let near = Set(inside.flatMap { $0 - guardPixels...$0 + guardPixels })
        var (atBorders, elsewhere) = (Sum(), Sum())
        for column in 1..<max(width, 1) where inside.contains(column) || !near.contains(column) {
            let sum = Sum(total: (0..<height).reduce(0.0) { $0 + step(channels, column, $1) }, count: height)
            if inside.contains(column) { atBorders = atBorders + sum } else { elsewhere = elsewhere + sum }
        }
        return (atBorders, elsewhere)
    }

    private static func step(_ channels: [Plane], _ x: Int, _ y: Int) -> Double {
        var largest = 0.0
        for plane in channels {
            func difference(_ column: Int) -> Double? {
                (1..<plane.width).contains(column) ? plane[column, y] - plane[column - 1, y] : nil
            }
            let here = plane[x, y] - plane[x - 1, y]
            let (before, after) = (difference(x - 1), difference(x + 1))
            let trend = ((before ?? after ?? here) + (after ?? before ?? here)) / 2
            largest = max(largest, abs(here - trend))
        }
        return min(largest, levelsMax)
    }
}
