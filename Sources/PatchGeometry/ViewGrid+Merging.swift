extension ViewGrid {
    /// The views' inputs from a planar canvas `(channels, height, width)`: crops of the canvas with zeros around it.
    public func crops(of canvas: [Float], channels: Int, views: [CanvasView]) -> [[Float]] {
        views.map { crop(of: canvas, channels: channels, $0) }
    }

    /// The same for one view.
    public func crop(of canvas: [Float], channels: Int, _ view: CanvasView) -> [Float] {
        precondition(canvas.count == channels * height * width)
        checkInside(view)
        var crop = [Float](repeating: 0, count: channels * view.height * view.width)
        forEachRow(of: view, channels: channels) { source, target, length in
            crop.replaceSubrange(target..<target + length, with: canvas[source..<source + length])
        }
        return crop
    }

    /// The mean of all views at every canvas point, weighted by `blending`. See `ViewMean`.
    public func average(
        _ predictions: [[Float]], channels: Int, views: [CanvasView], blending: ViewBlending = .uniform
    ) -> [Float] {
        precondition(predictions.count == views.count)
        var mean = ViewMean(self, channels: channels, blending: blending)
        for (prediction, view) in zip(predictions, views) { mean.add(prediction, view) }
        return mean.finish()
    }

    /// The number of views that cover each canvas point, in row-major order.
    public func coverage(of views: [CanvasView]) -> [Int] {
        var counts = [Int](repeating: 0, count: height * width)
        for view in views {
            forEachRow(of: view, channels: 1) { target, _, length in
                for x in 0..<length { counts[target + x] += 1 }
            }
        }
        return counts
    }

    /// Calls `body` for every part of a row that lies inside the canvas, with its canvas index, its index in the view and its
    /// length.
    fileprivate func forEachRow(of view: CanvasView, channels: Int, _ body: (_ canvas: Int, _ view: Int, _ length: Int) -> Void)
    {
        let (top, left) = (view.top - jitterRadius, view.left - jitterRadius)
        let (firstRow, lastRow) = (max(0, -top), min(view.height, height - top))
        let (firstColumn, lastColumn) = (max(0, -left), min(view.width, width - left))
        guard firstRow < lastRow, firstColumn < lastColumn else { return }
        for channel in 0..<channels {
            for row in firstRow..<lastRow {
                let canvas = (channel * height + top + row) * width + left + firstColumn
                let inView = (channel * view.height + row) * view.width + firstColumn
                body(canvas, inView, lastColumn - firstColumn)
            }
        }
    }

    fileprivate func checkInside(_ view: CanvasView) {
        precondition(view.top >= 0 && view.top + view.height <= height + 2 * jitterRadius)
        precondition(view.left >= 0 && view.left + view.width <= width + 2 * jitterRadius)
    }
}

/// The mean of overlapping views at every point of a canvas.
///
/// Sums follow the order in which the views are added, and are divided last. So the result is the same bit for bit if that
/// order is. Points in the padding are dropped. Every point must be covered; `jitteredViews` takes care of that.
public struct ViewMean: Sendable {
    private let grid: ViewGrid
    private let channels: Int
    /// The weights of the rows, and of the columns, of a view.
    private let down: [Float]
    private let across: [Float]
    private var sums: [Float]
    /// Empty once the sums are means.
    private var weights: [Float]

    /// - Parameter channels: of the canvas and of the views.
    public init(_ grid: ViewGrid, channels: Int, blending: ViewBlending) {
        (self.grid, self.channels) = (grid, channels)
        down = blending.weights(grid.viewHeight, of: grid.height)
        across = blending.weights(grid.viewWidth, of: grid.width)
        sums = [Float](repeating: 0, count: channels * grid.height * grid.width)
        weights = [Float](repeating: 0, count: grid.height * grid.width)
    }

    /// Adds a view's numbers, planar.
    public mutating func add(_ prediction: [Float], _ view: CanvasView) {
        grid.checkInside(view)
        precondition(prediction.count == channels * view.height * view.width)
        grid.forEachRow(of: view, channels: channels) { target, source, length in
            let (row, column) = (source / view.width % view.height, source % view.width)
            for x in 0..<length {
                let weight = down[row] * across[column + x]
                sums[target + x] += weight * prediction[source + x]
                if target < weights.count { weights[target + x] += weight }
            }
        }
    }

    /// Ends the sums: they become means in place. The views so far must cover every point, and no view may come later.
    ///
    /// - Returns: the mean of the views.
    public mutating func finish() -> [Float] {
        for channel in 0..<channels {
            let plane = channel * weights.count
            for index in weights.indices {
                precondition(weights[index] > 0, "a canvas point that no view covers")
                sums[plane + index] /= weights[index]
            }
        }
        weights = []
        return sums
    }
}
