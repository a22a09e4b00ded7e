public import ImageQuality
import PatchGeometry
public import Rendering

/// The quality of a picture, measured without another network.
public struct PictureQuality: Sendable, Equatable {
    /// Similarity to the native render of the same prompt and seed; nil for that render itself.
    public var similarity: Double?
    /// High-frequency energy at the picture's own size.
    public var sharpness: Double
    /// The seam score; nil if the picture was made neither of views nor of blended tiles. Borders of views that moved from call
    /// to call are everywhere, so they do not count.
    public var seams: Double?
    public var repetition: Double

    /// Whether the picture seems to show its subject more than once.
    public var isRepeating: Bool { repetition > Repetition.threshold }
}

extension PictureQuality {
    /// Measures a picture.
    ///
    /// - Parameters:
    ///   - plan: the picture's plan.
    ///   - native: the native render of the same prompt and seed; nil for that render itself.
    ///   - nativeSide: the model's native side in pixels.
    public init(of image: RGBImage, plan: RenderPlan, native: RGBImage?, nativeSide: Int) {
        similarity = native.map { Similarity.structural(image, reference: $0) }
        sharpness = Sharpness.highFrequencyEnergy(image)
        seams = InnerBorders(plan).map { SeamScore.score(image, columns: $0.columns, rows: $0.rows) }
        repetition = Repetition.score(
            image, enlargement: Double(max(image.width, image.height)) / Double(max(1, nativeSide)))
    }
}

/// The borders inside a picture where views of its detail phase, or blended tiles of its decode, begin and end.
struct InnerBorders: Equatable {
    /// The first pixel to the right of each border, and below each border, in order.
    let columns: [Int]
    let rows: [Int]

    /// The borders of a plan's views and blended tiles; nil if it has neither, or only views that move.
    init?(_ plan: RenderPlan) {
        var (columns, rows) = (plan.blendedTileBorders?.columns ?? [], plan.blendedTileBorders?.rows ?? [])
        if let cut = plan.cut, cut.jitter == 0,
            let views = try? ViewGrid(
                height: plan.latentHeight, width: plan.latentWidth, view: max(cut.viewHeight, cut.viewWidth),
                stride: cut.stride, jitter: 0)
        {
            columns += views.plainViews.flatMap { [$0.left, $0.left + $0.width] }
            rows += views.plainViews.flatMap { [$0.top, $0.top + $0.height] }
        }
        guard !columns.isEmpty || !rows.isEmpty else { return nil }
        self.columns = Self.inside(columns, plan.latentWidth, plan.width)
        self.rows = Self.inside(rows, plan.latentHeight, plan.height)
    }

    private static func inside(_ borders: [Int], _ latentLength: Int, _ length: Int) -> [Int] {
        Set(borders).filter { $0 > 0 && $0 < latentLength }.sorted().map { $0 * length / latentLength }
    }
}
