/// The way in which overlapping views share a canvas point.
public enum ViewBlending: String, Sendable, CaseIterable {
    /// All views that cover the point count equally: MultiDiffusion and CutDiffusion as published.
    case uniform
    /// A view counts less towards its borders, because it has seen less of the surroundings there. So its end leaves no step.
    case feather

    /// The weights along one side of a view. A point's weight is the product of its row's and its column's weight.
    ///
    /// With `feather` the weight falls linearly from the middle to about `2 / length` at the borders, and never to zero: a
    /// point that only one view covers keeps that view's value. A view that spans its axis has no borders there, and so no
    /// slope.
    func weights(_ length: Int, of axis: Int) -> [Float] {
        guard self == .feather, length < axis else { return [Float](repeating: 1, count: length) }
        let middle = Float(length) / 2
        return (0..<length).map { (middle - abs(Float($0) + 0.5 - middle) + 0.5) / (middle + 0.5) }
    }
}
