/// Whether a picture shows its subject several times.
public enum Repetition {
    /// Of all pairs of foreground points that have the same colour, the share that is separated: on the straight line between
    /// the two lies background for at least a quarter of the model's native side. 0 for one compact subject, 1 - 1/k for k
    /// copies that lie apart.
    ///
    /// - Parameter enlargement: how many times the picture's longer side is longer than the model's native side.
    public static func score(_ image: RGBImage, enlargement: Double) -> Double {
        measure(image, enlargement: enlargement, cells: 16, gap: 4, specks: 3)
    }

    /// Pictures that score more are taken to show their subject more than once.
    public static let threshold = 0.15

    static func measure(_ image: RGBImage, enlargement: Double, cells: Int, gap: Int, specks: Int) -> Double {
        let longer = max(image.width, image.height)
        let times = enlargement.isFinite ? min(max(enlargement, 1), 8) : 1
        let side = min(Double(cells) * times, Double(longer))
        let (width, height) = (gridSide(image.width, longer, side), gridSide(image.height, longer, side))
        let map = ForegroundMap(image, width: width, height: height, specksMax: specks)
        return separatedShare(map, gap: gap)
    }

    static func gridSide(_ length: Int, _ longer: Int, _ side: Double) -> Int {
        min(length, max(1, Int((Double(length) * side / Double(longer)).rounded())))
    }

    static let pointsMax = 600

    static func separatedShare(_ map: ForegroundMap, gap: Int) -> Double {
        let all = map.isForeground.indices.filter { map.isForeground[$0] }
        let count = min(all.count, pointsMax)
        let points = (0..<count).map { all[$0 * all.count / count] }
        var (alike, separated) = (0, 0)
        for (index, one) in points.enumerated() {
            for other in points[..<index] where map.colours[one].isLike(map.colours[other]) {
                alike += 1
                if isSeparated(one, other, map, gap) { separated += 1 }
            }
        }
        return alike == 0 ? 0 : Double(separated) / Double(alike)
    }

    static func isSeparated(_ one: Int, _ other: Int, _ map: ForegroundMap, _ gap: Int) -> Bool {
        let (x, y) = (one % map.width, one / map.width)
        let (dx, dy) = (other % map.width - x, other / map.width - y)
        let steps = max(abs(dx), abs(dy))
        guard steps > gap else { return false }
        var run = 0
        for step in 0...steps {
            // Rounded to the nearest cell.
            let cx = x + (2 * dx * step + (dx < 0 ? -steps : steps)) / (2 * steps)
            let cy = y + (2 * dy * step + (dy < 0 ? -steps : steps)) / (2 * steps)
            run = map.isForeground[cy * map.width + cx] ? 0 : run + 1
            if run >= gap { return true }
        }
        return false
    }
}
