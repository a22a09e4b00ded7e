import PatchGeometry
import Testing

/// The sharing of points by views, and the steps at their borders.
@Suite struct BlendingTests {
    private let grid = Result { try ViewGrid(height: 32, width: 48, view: 16, stride: 8) }

    @Test(arguments: ViewBlending.allCases) func viewsThatAgreeStayAsTheyAre(_ blending: ViewBlending) throws {
        let grid = try grid.get()
        let canvas = (0..<2 * 32 * 48).map { (index: Int) -> Float in Float(index % 97) / 7 }
        let views = grid.jitteredViews(seed: 5, call: 2)
        let blended = grid.average(
            grid.crops(of: canvas, channels: 2, views: views), channels: 2, views: views, blending: blending)
        #expect(zip(blended, canvas).allSatisfy { abs($0 - $1) < 1e-5 })
    }

    /// Neighbouring views that differ by a constant leave a step at every border if they count alike, and a slope if they are
    /// feathered. The contents are constant and gradient, and each view is lighter or darker than the next.
    @Test(arguments: [Float(0), 0.05]) func featheringLeavesNoStepAtBorders(_ slope: Float) throws {
        let grid = try ViewGrid(height: 32, width: 48, view: 16, stride: 8, jitter: 0)
        let views = grid.plainViews
        let patches = views.enumerated().map { index, view in
            (0..<256).map { Float(index % 2) + slope * Float(view.left + $0 % 16) }
        }
        // The largest step between neighbours of a row, beyond the content's own.
        func step(_ blending: ViewBlending) -> Float {
            let canvas = grid.average(patches, channels: 1, views: views, blending: blending)
            return (0..<32).flatMap { row in (1..<48).map { abs(canvas[row * 48 + $0] - canvas[row * 48 + $0 - 1] - slope) } }
                .max() ?? 0
        }
        #expect(step(.uniform) > 0.45)
        #expect(step(.feather) < 0.2)
    }

    /// By hand: a view of four points on an axis of six, with the weights 1/2.5 · (1, 2, 2, 1), and a second view that begins
    /// two points later.
    @Test func weightsFallTowardsTheBorders() throws {
        let grid = try ViewGrid(height: 1, width: 6, view: 4, stride: 2, jitter: 0)
        let views = grid.plainViews
        #expect(views.map(\.left) == [0, 2])
        let blended = grid.average([[10, 10, 10, 10], [40, 40, 40, 40]], channels: 1, views: views, blending: .feather)
        let expected: [Float] = [10, 10, 20, 30, 40, 40]
        #expect(zip(blended, expected).allSatisfy { abs($0 - $1) < 1e-5 })
        #expect(grid.average([[10, 10, 10, 10], [40, 40, 40, 40]], channels: 1, views: views) == [10, 10, 25, 25, 40, 40])
    }

    @Test func jitterIsASetting() throws {
        #expect(try ViewGrid(height: 32, width: 32, view: 16, stride: 8).jitterRadius == 2)
        let still = try ViewGrid(height: 32, width: 32, view: 16, stride: 8, jitter: 0)
        #expect(still.jitteredViews(seed: 1, call: 0) == still.plainViews)
        let far = try ViewGrid(height: 32, width: 32, view: 16, stride: 8, jitter: 4)
        for step in 0..<50 {
            #expect(far.coverage(of: far.jitteredViews(seed: 9, call: step)).allSatisfy { $0 > 0 })
        }
        for jitter in [-1, 5] {
            #expect(throws: GeometryError.self) { try ViewGrid(height: 32, width: 32, view: 16, stride: 8, jitter: jitter) }
        }
    }
}
