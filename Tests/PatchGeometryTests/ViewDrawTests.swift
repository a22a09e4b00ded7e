import PatchGeometry
import RandomStreams
import Testing

/// The detail phase's draws for its views, and the proof that no draw leaves a gap (vectors G2 and G3 of the specification).
@Suite struct ViewDrawTests {
    /// Starts of the views of 128 on an axis, by the specification's formula.
    private static func starts(_ length: Int, _ stride: Int) -> [Int] {
        guard length > 128 else { return [0] }
        let count = Int(Double(length - 128) / Double(stride) - 1e-6) + 2
        return (0..<count).map { $0 * stride + 128 > length ? length - 128 : $0 * stride }
    }

    /// Corners drawn one by one: for each view the column first, then the row. An axis with one view takes no draw.
    private static func corners(_ height: Int, _ width: Int, _ stride: Int, _ random: inout PythonRandom) -> [[Int]] {
        let radius = (128 - stride) / 4
        func moved(_ start: Int, _ length: Int, _ random: inout PythonRandom) -> Int {
            let (isFirst, isLast) = (start == 0, start + 128 == length)
            if isFirst && isLast { return radius }
            return radius + start + random.integer(in: (isLast ? 0 : -radius)...(isFirst ? 0 : radius))
        }
        var corners: [[Int]] = []
        for top in starts(height, stride) {
            for left in starts(width, stride) {
                let column = moved(left, width, &random)
                corners.append([moved(top, height, &random), column])
            }
        }
        return corners
    }

    /// Two steps in a row from one generator. It ends where drawing by hand ends, so both took the same count of numbers.
    @Test(
        arguments: [(128, 128), (128, 256), (256, 256), (256, 512), (384, 384), (512, 512), (160, 208), (1024, 1024)],
        [32, 64, 96, 128])
    func twoStepsDrawWhatTheReferenceDraws(_ canvas: (Int, Int), _ stride: Int) throws {
        let grid = try ViewGrid(height: canvas.0, width: canvas.1, view: 128, stride: stride)
        var (random, byHand) = (PythonRandom(seed: 6), PythonRandom(seed: 6))
        for _ in 0..<2 {
            let views = grid.jitteredViews(using: &random)
            #expect(views.map { [$0.top, $0.left] } == Self.corners(canvas.0, canvas.1, stride, &byHand))
            #expect(views.allSatisfy { $0.height == 128 && $0.width == 128 })
        }
        #expect(random == byHand)
        #expect((random == PythonRandom(seed: 6)) == (canvas == (128, 128)), "one window draws nothing, others do")
        #expect(
            grid.plainViews.map { [$0.top, $0.left] }
                == Self.starts(canvas.0, stride).flatMap { top in Self.starts(canvas.1, stride).map { [top, $0] } })
    }

    @Test func seedSixGivesTheDocumentedRow() throws {
        var random = PythonRandom(seed: 6)
        let views = try ViewGrid(height: 128, width: 256, view: 128, stride: 64).jitteredViews(using: &random)
        #expect(views.map { [$0.top, $0.left] } == [[16, 2], [16, 95], [16, 152]])
    }

    /// Every length from one view to eight, every stride from 16 on. Neighbours still touch at their largest movement apart,
    /// so no draw leaves a gap. Each pair is also drawn once.
    @Test func noDrawLeavesAGap() throws {
        var (gaps, outside, pairs) = ([String](), [String](), 0)
        for length in Swift.stride(from: 128, through: 1024, by: 8) {
            for stride in 16...128 {
                let grid = try ViewGrid(height: 1, width: length, view: 128, stride: stride)
                let (radius, lefts) = (grid.jitterRadius, grid.plainViews.map(\.left))
                let farthest = zip(lefts, lefts.dropFirst()).map { $1 - $0 + 2 * radius }.max() ?? 0
                var end = radius
                let views = grid.jitteredViews(seed: UInt64(length), call: stride)
                for view in views where view.left <= end { end = max(end, view.left + 128) }
                if farthest > 128 || end < radius + length { gaps.append("\(length), stride \(stride)") }
                if views.contains(where: { $0.left < 0 || $0.left + 128 > length + 2 * radius }) {
                    outside.append("\(length), stride \(stride)")
                }
                pairs += 1
            }
        }
        #expect(pairs == 113 * 113 && gaps.isEmpty && outside.isEmpty, "gaps: \(gaps), outside: \(outside)")
    }

    /// The smallest overlap of moved neighbours, which the specification names for some strides.
    @Test(arguments: [(64, 32), (96, 16), (127, 1), (128, 0)]) func overlapsShrinkWithTheStride(_ stride: Int, _ least: Int)
        throws
    {
        let grid = try ViewGrid(height: 1, width: 1024, view: 128, stride: stride)
        #expect(128 - stride - 2 * grid.jitterRadius == least)
    }
}
