/// How overlapping windows share a canvas point.
public enum ViewBlending: String, Sendable, CaseIterable {
    /// Every window that covers the point counts as much as any other: MultiDiffusion and CutDiffusion as published.
    case uniform
    /// A window counts less towards its borders, where it has seen little of what is around, so that no step is left where
    /// one ends.
    case feather

    /// The weight of each point of a window's side; a point's own is the product of its row's and its column's.
    ///
    /// Feathered it falls linearly from the middle, to about `2 / length` at the borders and never to zero: a point that only
    /// one window covers keeps that window's value. A window that spans its axis has no borders there, and so no slope.
    func weights(_ length: Int, of axis: Int) -> [Float] {
        guard self == .feather, length < axis else { return [Float](repeating: 1, count: length) }
        let middle = Float(length) / 2
        return (0..<length).map { (middle - abs(Float($0) + 0.5 - middle) + 0.5) / (middle + 0.5) }
    }
}
