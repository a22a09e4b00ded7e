import PatchGeometry

/// The predictions of a call's views on their way to their mean. They come in any order and are added in the order of the
/// views, so that the sums have the same bits for any workers. Only predictions that came too early are kept.
///
/// With views the canvas takes one step by the mean of the predictions. The published samplers have a linear step, so this
/// equals the mean of the stepped views. For samplers with memory or noise only this is right.
struct ViewMerging: Sendable {
    private let views: [CanvasView]
    private let grid: ViewGrid
    /// Channels of the canvas.
    private let channels: Int
    private let blending: ViewBlending
    /// The sums so far; nil before the first view.
    private var mean: ViewMean?
    /// The next view to add.
    private var next = 0
    /// Predictions of later views.
    private var early: [Int: [Float]] = [:]

    init(_ views: [CanvasView], of grid: ViewGrid, channels: Int, blending: ViewBlending) {
        (self.views, self.grid, self.channels, self.blending) = (views, grid, channels, blending)
    }

    /// The same before the first view.
    var restarted: ViewMerging { ViewMerging(views, of: grid, channels: channels, blending: blending) }

    /// Takes a view's prediction. The first one counts.
    mutating func take(_ prediction: [Float], of index: Int) {
        guard index >= next, early[index] == nil else { return }
        early[index] = prediction
        if mean == nil { mean = ViewMean(grid, channels: channels, blending: blending) }
        while let values = early.removeValue(forKey: next) {
            mean?.add(values, views[next])
            next += 1
        }
    }

    /// Whether all views were added.
    var isComplete: Bool { next == views.count }

    /// The mean of all views; nil if some are missing. It stays in the memory of the sums.
    mutating func finish() -> [Float]? { isComplete ? mean?.finish() : nil }
}
