import PatchGeometry
import Synchronization

/// The predictions of a call's views on their way to their mean. They come in any order and are added in the order of the views,
/// so that the sums have the same bits for any workers. Only those that came too early are kept.
///
/// With views the canvas takes one step by the mean of the predictions. The published samplers have a linear step, so this equals
/// the mean of the stepped views. For samplers with memory or noise only this is right.
final class ViewMerging: Sendable {
    private struct State {
        /// nil before the first view.
        var mean: ViewMean?
        /// The next view to add.
        var next = 0
        /// Predictions of later views.
        var early: [Int: [Float]] = [:]
    }

    private let views: [CanvasView]
    private let makeMean: @Sendable () -> ViewMean
    private let state = Mutex(State())

    /// - Parameter mean: makes one without a view.
    init(_ views: [CanvasView], _ mean: @autoclosure @escaping @Sendable () -> ViewMean) {
        (self.views, makeMean) = (views, mean)
    }

    /// The same before the first view.
    var restarted: ViewMerging {
        let makeMean = makeMean
        return ViewMerging(views, makeMean())
    }

    /// Takes a view's prediction. The first one counts.
    func take(_ prediction: [Float], of index: Int) {
        state.withLock { state in
            guard index >= state.next, state.early[index] == nil else { return }
            state.early[index] = prediction
            if state.mean == nil { state.mean = makeMean() }
            while let values = state.early.removeValue(forKey: state.next) {
                state.mean?.add(values, views[state.next])
                state.next += 1
            }
        }
    }

    /// The mean of all views; nil if some are missing.
    var result: [Float]? { state.withLock { $0.next == views.count ? $0.mean?.result : nil } }
}
