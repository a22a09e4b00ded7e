extension ViewGrid {
    /// The views' inputs from a planar canvas `(channels, height, width)`: crops of the canvas with zeros around it.
    public func crops(of canvas: [Float], channels: Int, views: [CanvasView]) -> [[Float]] {
        precondition(canvas.count == channels * height * width)
        return views.map { view in
            checkInside(view)
            var crop = [Float](repeating: 0, count: channels * view.height * view.width)
            forEachRow(of: view, channels: channels) { source, target, length in
                for x in 0..<length { crop[target + x] = canvas[source + x] }
            }
            return crop
        }
    }

    /// The mean of all views at every canvas point, weighted by `blending`.
    ///
    /// Sums follow the order of the views, whatever order they were computed in, and are divided last. So the result is the
    /// same bit for bit. Points in the padding are dropped. Every point must be covered; `jitteredViews` takes care of that.
    public func average(
        _ predictions: [[Float]], channels: Int, views: [CanvasView], blending: ViewBlending = .uniform
    ) -> [Float] {
        precondition(predictions.count == views.count)
        let (down, across) = (blending.weights(viewHeight, of: height), blending.weights(viewWidth, of: width))
        var sums = [Float](repeating: 0, count: channels * height * width)
        var weights = [Float](repeating: 0, count: height * width)
        for (prediction, view) in zip(predictions, views) {
            checkInside(view)
            precondition(prediction.count == channels * view.height * view.width)
            forEachRow(of: view, channels: channels) { target, source, length in
                let (row, column) = (source / view.width % view.height, source % view.width)
                for x in 0..<length {
                    let weight = down[row] * across[column + x]
                    sums[target + x] += weight * prediction[source + x]
                    if target < weights.count { weights[target + x] += weight }
                }
            }
        }
        for channel in 0..<channels {
            let plane = channel * height * width
            for index in weights.indices {
                precondition(weights[index] > 0, "a canvas point that no view covers")
                sums[plane + index] /= weights[index]
            }
        }
        return sums
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
    private func forEachRow(of view: CanvasView, channels: Int, _ body: (_ canvas: Int, _ view: Int, _ length: Int) -> Void) {
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

    private func checkInside(_ view: CanvasView) {
        precondition(view.top >= 0 && view.top + view.height <= height + 2 * jitterRadius)
        precondition(view.left >= 0 && view.left + view.width <= width + 2 * jitterRadius)
    }
}
