public import RandomStreams

/// One view of the detail phase, in the coordinates of the canvas padded by the jitter radius on all sides.
public struct CanvasView: Sendable, Hashable {
    public let top: Int
    public let left: Int
    public let height: Int
    public let width: Int

    /// A view from its corner and size.
    public init(top: Int, left: Int, height: Int, width: Int) {
        self.top = top
        self.left = left
        self.height = height
        self.width = width
    }
}

/// The overlapping views of the detail phase (MultiDiffusion with DemoFusion's jitter, as in CutDiffusion).
///
/// Lengths are in latent points. An axis of length L with view length P and stride s has one view if L ≤ P, otherwise `⌈(L -
/// P) / s⌉ + 1`. The last view is pulled back to end at L. A view is never longer than its axis.
public struct ViewGrid: Sendable, Equatable {
    /// Size of the canvas.
    public let height: Int
    public let width: Int
    /// Size of every view.
    public let viewHeight: Int
    public let viewWidth: Int
    /// Distance of neighbouring views before the last is pulled back.
    public let stride: Int
    /// The largest movement of a view, J. The canvas is padded by it. The reference has (P - s) / 4.
    public let jitterRadius: Int
    private let tops: [Int]
    private let lefts: [Int]

    /// The views of a canvas of `height × width`.
    ///
    /// - Parameter jitter: the largest movement of a view; nil is the reference's (view - stride) / 4.
    /// - Throws: unless `1 ≤ stride ≤ view`, and for a jitter so large that neighbours could move apart.
    public init(height: Int, width: Int, view: Int, stride: Int, jitter: Int? = nil) throws(GeometryError) {
        guard (1...1 << 16).contains(height), (1...1 << 16).contains(width), (1...1 << 16).contains(view) else {
            throw GeometryError("A canvas of \(height)x\(width) latent points cannot be cut into views of \(view).")
        }
        guard stride >= 1, stride <= view else {
            throw GeometryError(
                "A stride of \(stride) latent points does not fit views of \(view): it must be from 1 to \(view).")
        }
        guard (0...((view - stride) / 2)).contains(jitter ?? 0) else {
            throw GeometryError(
                "A jitter of \(jitter ?? 0) latent points would leave gaps between views of \(view) at a stride of \(stride): it "
                    + "must be from 0 to \((view - stride) / 2).")
        }
        self.height = height
        self.width = width
        self.stride = stride
        viewHeight = min(view, height)
        viewWidth = min(view, width)
        jitterRadius = jitter ?? (view - stride) / 4
        tops = Self.starts(length: height, view: view, stride: stride)
        lefts = Self.starts(length: width, view: view, stride: stride)
    }

    /// The number of views. They are numbered row by row, `row · columns + column`.
    public var count: Int { tops.count * lefts.count }
    /// The numbers of views down and across.
    public var rows: Int { tops.count }
    public var columns: Int { lefts.count }

    /// The views in their places, without jitter, in the coordinates of the unpadded canvas.
    public var plainViews: [CanvasView] {
        tops.flatMap { top in
            lefts.map { CanvasView(top: top, left: $0, height: viewHeight, width: viewWidth) }
        }
    }

    /// The views of one detail call in a render. Each view moves by draws from a hash of its own.
    public func jitteredViews(seed: UInt64, call: Int) -> [CanvasView] {
        jitteredViews { index in
            var stream = HashStream(seed: seed, purpose: .jitter, call: call, index: index)
            return { stream.integer(in: $0) }
        }
    }

    /// The views as the reference draws them from Python's `random`: views in order, for each the column first, then the row.
    public func jitteredViews(using random: inout PythonRandom) -> [CanvasView] {
        var stream = random
        let views = jitteredViews { _ in { stream.integer(in: $0) } }
        random = stream
        return views
    }

    /// Moves every view. On each axis an inner view moves by -J...J, the first by -J...0, and the last by 0...J. A view that
    /// spans the axis does not move and takes no draw.
    private func jitteredViews(draw: (_ index: Int) -> (ClosedRange<Int>) -> Int) -> [CanvasView] {
        plainViews.enumerated().map { index, view in
            let draw = draw(index)
            let across = move(start: view.left, length: width, view: viewWidth).map(draw) ?? 0
            let down = move(start: view.top, length: height, view: viewHeight).map(draw) ?? 0
            return CanvasView(
                top: view.top + down + jitterRadius, left: view.left + across + jitterRadius, height: view.height,
                width: view.width)
        }
    }

    private func move(start: Int, length: Int, view: Int) -> ClosedRange<Int>? {
        let (isFirst, isLast) = (start == 0, start + view == length)
        if isFirst && isLast { return nil }
        return (isLast ? 0 : -jitterRadius)...(isFirst ? 0 : jitterRadius)
    }

    private static func starts(length: Int, view: Int, stride: Int) -> [Int] {
        guard length > view else { return [0] }
        let count = (length - view + stride - 1) / stride + 1
        return (0..<count).map { min($0 * stride, length - view) }
    }
}
