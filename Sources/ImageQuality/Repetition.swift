/// Measures whether a picture shows its subject several times.
public enum Repetition {
    /// The share of pairs of foreground points that background separates, among all pairs of points with the same colour: 0
    /// for one compact subject and for an empty picture, 1 - 1/k for k separate copies. Our own measure.
    ///
    /// The picture is divided into cells of a sixteenth of the native side. The background is the colour of most cells, and
    /// everything that changes slowly from there. Enclosed areas of its colour belong to the enclosing piece. Two points are
    /// separate if the straight line between them crosses enough background without a break: a quarter of the native side if
    /// they belong to pieces that do not touch, else a fifth of the picture's longer side.
    ///
    /// **Limits.** It needs an even background: without one all is foreground, and the score is near 0. If the subject has
    /// its background's colour and only open outlines are left of it, the score is 0. Three things score low: a subject that
    /// is smeared over the picture in one mass, copies that touch, and a copy that is much smaller than the subject.
    ///
    /// **Error rate**, on the embedded model at four times its native size, labelled by eye. On pictures that nobody looked
    /// at during development: of 24 plain renders, one of each subject at 10 steps, none was missed, and of 34 single
    /// subjects (10 by CutDiffusion, 24 enlarged native ones) none raised a false alarm. On the pictures of its development,
    /// at 25 steps: 1 of 13 plain renders was missed (a lion, one mass of mane), 0 of 11 by CutDiffusion raised a false
    /// alarm. `Tests/ImageQualityTests/Thumbnails/labels.txt` lists them all. `patchloom-bench repetition` measures the rate
    /// on other pictures.
    ///
    /// - Parameter enlargement: the picture's longer side divided by the model's native side, limited to 1 to 8.
    public static func score(_ image: RGBImage, enlargement: Double) -> Double {
        let longer = max(image.width, image.height)
        let times = enlargement.isNaN ? 1 : min(max(enlargement, 1), enlargementMax)
        let side = min(longer, Int((cellsPerNativeSide * times).rounded()))
        func cells(_ length: Int) -> Int { max(1, (length * side + longer / 2) / longer) }
        let map = ForegroundMap(image, width: cells(image.width), height: cells(image.height))
        guard map.bulkShare >= bulkShareMin else { return 0 }
        return separatedShare(map, gaps: (betweenPieces, max(betweenPieces, side / withinPieceShare)))
    }

    /// A picture with a higher score counts as one that shows its subject more than once. Single subjects scored less than
    /// 0.1, and plain renders more than 0.3 except the missed one.
    public static let threshold = 0.2

    /// If less of the foreground is solid, the subject has its background's colour and is drawn in open outlines. Their
    /// strokes are no copies.
    private static let bulkShareMin = 2.0 / 3
    private static let enlargementMax = 8.0
    private static let cellsPerNativeSide = 16.0
    private static let betweenPieces = 4
    private static let withinPieceShare = 5
    /// The number of foreground points to compare, spread evenly over all of them.
    private static let pointsMax = 500

    private static func separatedShare(_ map: ForegroundMap, gaps: (betweenPieces: Int, withinPiece: Int)) -> Double {
        let all = map.isForeground.indices.filter { map.isForeground[$0] }
        let count = min(all.count, pointsMax)
        let points = (0..<count).map { all[$0 * all.count / count] }
        var (alike, separated) = (0, 0)
        for (index, one) in points.enumerated() {
            for other in points[..<index] where map.colours[one].isLike(map.colours[other]) {
                alike += 1
                let gap = map.pieces[one] == map.pieces[other] ? gaps.withinPiece : gaps.betweenPieces
                if isSeparated(one, other, by: gap, map) { separated += 1 }
            }
        }
        return alike == 0 ? 0 : Double(separated) / Double(alike)
    }

    /// Whether the line between two cells has `gap` cells of background in a row.
    private static func isSeparated(_ one: Int, _ other: Int, by gap: Int, _ map: ForegroundMap) -> Bool {
        let (x, y) = (one % map.width, one / map.width)
        let (dx, dy) = (other % map.width - x, other / map.width - y)
        let steps = max(abs(dx), abs(dy))
        guard steps > gap else { return false }
        var run = 0
        for step in 0...steps {
            // Rounded to the nearest cell; halves round away from the start.
            let column = x + (2 * dx * step + (dx < 0 ? -steps : steps)) / (2 * steps)
            let row = y + (2 * dy * step + (dy < 0 ? -steps : steps)) / (2 * steps)
            run = map.isForeground[row * map.width + column] ? 0 : run + 1
            if run >= gap { return true }
        }
        return false
    }
}
