/// ToDo: self-attention takes its keys and values from a subsampled grid (Smith et al. 2024, arXiv 2402.13573).
public struct TokenDownsampling: Sendable, Equatable {
    /// The token that is kept for several tokens, in the terms of PyTorch's `interpolate`.
    public enum Interpolation: String, Sendable, CaseIterable {
        /// The first one: strided sampling, as in the paper.
        case nearest
        /// A token near the middle: the default of the authors' library and of kohya's scripts.
        case nearestExact = "nearest-exact"
    }

    /// The parts of attention that are subsampled.
    public enum Scope: String, Sendable, CaseIterable {
        /// Keys and values. Queries stay whole. This is the paper's method.
        case keysAndValues = "keys_values"
        /// Queries too; the result is enlarged again. This is another method, with more loss.
        case all
    }

    /// The ratio of each side to the shorter one, at least 1. It may be a fraction.
    public var factor: Double
    public var interpolation: Interpolation
    public var scope: Scope

    /// The largest factor.
    public static let factorLimit = 256.0

    /// Subsampling by a factor.
    public init(factor: Double, interpolation: Interpolation = .nearestExact, scope: Scope = .keysAndValues) {
        (self.factor, self.interpolation, self.scope) = (factor, interpolation, scope)
    }

    /// The number of kept tokens along a side: side / factor, rounded down, at least one.
    public func keptSide(_ side: Int) -> Int { max(1, Int(Double(side) / factor)) }

    /// The kept tokens of a grid, row by row, as indices into the grid, which also counts row by row.
    public func keptTokens(height: Int, width: Int) -> [Int32] {
        Self.tokens(
            rows: Self.positions(from: height, to: keptSide(height), interpolation),
            columns: Self.positions(from: width, to: keptSide(width), interpolation), width: width)
    }

    /// For each token of a grid: the kept token that stands for it when the kept grid is enlarged again.
    public func enlargement(height: Int, width: Int) -> [Int32] {
        Self.tokens(
            rows: Self.positions(from: keptSide(height), to: height, interpolation),
            columns: Self.positions(from: keptSide(width), to: width, interpolation), width: keptSide(width))
    }

    /// The source position of each of `target` positions along a side of `source`, with PyTorch's roundings. The ratio is a
    /// `Float`, so the products are not those of exact fractions (26 to 22 takes 12 for the eleventh, not 13).
    public static func positions(from source: Int, to target: Int, _ interpolation: Interpolation) -> [Int] {
        precondition(source > 0 && target > 0, "a side of \(source) cannot become one of \(target)")
        let ratio = Float(source) / Float(target)
        return (0..<target).map { index in
            let place: Float =
                switch interpolation {
                case .nearest: Float(index) * ratio
                case .nearestExact: Float((Double(index) + 0.5) * Double(ratio))
                }
            return min(Int(place.rounded(.down)), source - 1)
        }
    }

    private static func tokens(rows: [Int], columns: [Int], width: Int) -> [Int32] {
        rows.flatMap { row in columns.map { Int32(row * width + $0) } }
    }
}
