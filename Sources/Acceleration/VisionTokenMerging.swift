import Foundation

/// Token merging for vision transformers (Bolya et al. 2023, arXiv 2210.09461), between attention and feed-forward part.
/// Merged tokens do not come back. It is for image encoders such as CLIP's. The U-Nets use `TokenMerging`, which gives every
/// token back.
public enum VisionMergeCounts {
    /// The same number of tokens in every layer.
    public static func constant(_ count: Int, layers: Int) -> [Int] { Array(repeating: count, count: layers) }

    /// A number for each layer. Layers beyond the list merge none.
    public static func list(_ counts: [Int], layers: Int) -> [Int] {
        (0..<layers).map { $0 < counts.count ? counts[$0] : 0 }
    }

    /// Numbers that move in equal steps around a mean. Each is rounded down, so the sum may be less than `mean · layers`.
    ///
    /// - Parameter inflection: −1 merges most in the first layers and none in the last, 0 is constant, 1 is the reverse of
    ///   −1.
    public static func linear(mean: Int, inflection: Double, layers: Int) -> [Int] {
        let first = Double(Int(Double(mean) * (1 - inflection)))
        let last = 2 * Double(mean) - first
        let step = layers > 1 ? (last - first) / Double(layers - 1) : 0
        return (0..<layers).map { Int(first + step * Double($0)) }
    }
}

/// One layer's merging in a vision transformer, for one image: some tokens at even places join the most similar token at an
/// odd place.
public struct VisionTokenMerging: Sendable {
    /// The members of each remaining token, in the order of these tokens.
    public let groups: [[Int]]
    /// Each source and its destination, the most alike pair first.
    public let pairs: [(source: Int, destination: Int)]

    /// Tokens at the front of the sequence that must not merge.
    public struct Protected: Sendable {
        /// The class token, at place 0.
        public var classToken: Bool
        /// The distillation token, at place 1. There is none without a class token.
        public var distillationToken: Bool

        public init(classToken: Bool = false, distillationToken: Bool = false) {
            (self.classToken, self.distillationToken) = (classToken, distillationToken)
        }

        var count: Int { (classToken ? 1 : 0) + (distillationToken ? 1 : 0) }
    }

    /// Matches tokens by the cosine of their keys.
    ///
    /// - Parameters:
    ///   - keys: (tokens, width): the mean over the heads of the block's own attention.
    ///   - count: the number of tokens to merge away; at most half of the unprotected ones.
    public init(keys: [Float], tokens: Int, merging count: Int, protecting protected: Protected = Protected()) {
        precondition(tokens > 0 && keys.count % tokens == 0, "\(keys.count) numbers are not \(tokens) tokens")
        precondition(
            protected.classToken || !protected.distillationToken, "there is no distillation token without a class token")
        let merged = max(0, min(count, (tokens - protected.count) / 2))
        guard merged > 0 else {
            (groups, pairs) = ((0..<tokens).map { [$0] }, [])
            return
        }
        let best = Self.bestPartners(keys, tokens: tokens, protected)
        let order = best.indices.sorted { (best[$1].score, $0) < (best[$0].score, $1) }
        let joining = order.prefix(merged).map { (source: best[$0].source, destination: best[$0].destination) }
        pairs = joining
        var alone = order.dropFirst(merged).map { best[$0].source }
        if protected.classToken { alone = ([0] + alone).sorted() }
        let kept = alone.map { [$0] }
        let joined = stride(from: 1, to: tokens, by: 2).map { target in
            ([target] + joining.filter { $0.destination == target }.map(\.source)).sorted()
        }
        guard protected.distillationToken else {
            groups = kept + joined
            return
        }
        // The distillation token stays at place 1.
        groups = Array(kept.prefix(1) + joined.prefix(1) + kept.dropFirst() + joined.dropFirst())
    }

    /// For each token at an even place that may go: the most similar token at an odd place. Nothing joins the distillation
    /// token.
    private static func bestPartners(
        _ keys: [Float], tokens: Int, _ protected: Protected
    ) -> [(source: Int, destination: Int, score: Float)] {
        let units = units(keys, tokens: tokens)
        let targets = stride(from: 1, to: tokens, by: 2).filter { !(protected.distillationToken && $0 == 1) }
        return stride(from: protected.classToken ? 2 : 0, to: tokens, by: 2).compactMap { source in
            // A token that cannot be compared is the least alike, so no token is lost.
            let scores = targets.map { target in
                let score = zip(units[source], units[target]).reduce(Float(0)) { $0 + $1.0 * $1.1 }
                return score.isNaN ? -Float.infinity : score
            }
            guard let highest = scores.max(), let place = scores.firstIndex(of: highest) else { return nil }
            return (source, targets[place], highest)
        }
    }

    private static func units(_ values: [Float], tokens: Int) -> [[Float]] {
        let width = values.count / tokens
        return (0..<tokens).map { token in
            let row = values[(token * width)..<((token + 1) * width)]
            let length = Float(row.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot())
            return row.map { length > 0 ? $0 / length : 0 }
        }
    }

    /// The remaining tokens, as means weighted by the number of patches that each stands for, and their new numbers of
    /// patches.
    ///
    /// - Parameters:
    ///   - values: (tokens, width)
    ///   - sizes: (tokens); all 1 before the first layer.
    public func merge(_ values: [Float], sizes: [Float]) -> (values: [Float], sizes: [Float]) {
        let width = values.count / sizes.count
        var (merged, counts): ([Float], [Float]) = ([], [])
        for group in groups {
            let size = group.reduce(Float(0)) { $0 + sizes[$1] }
            for channel in 0..<width {
                merged.append(group.reduce(Float(0)) { $0 + values[$1 * width + channel] * sizes[$1] } / size)
            }
            counts.append(size)
        }
        return (merged, counts)
    }
}

/// Attention over tokens that each stand for several patches: softmax(q·kᵀ·scale + log size)·v. Each key counts as often as
/// it has patches.
public enum ProportionalAttention {
    /// - Parameters:
    ///   - queries: (m, width), of one head.
    ///   - keys, values: (n, width), of the same head.
    ///   - sizes: (n), above 0.
    /// - Returns: (m, width)
    public static func attend(
        queries: [Float], keys: [Float], values: [Float], sizes: [Float], scale: Float
    ) -> [Float] {
        let (n, width) = (sizes.count, keys.count / sizes.count)
        var result: [Float] = []
        for query in stride(from: 0, to: queries.count, by: width) {
            let scores = (0..<n).map { key in
                Double(scale) * (0..<width).reduce(0.0) { $0 + Double(queries[query + $1]) * Double(keys[key * width + $1]) }
                    + log(Double(sizes[key]))
            }
            let highest = scores.max() ?? 0
            let weights = scores.map { exp($0 - highest) }
            let total = weights.reduce(0, +)
            for channel in 0..<width {
                result.append(
                    Float((0..<n).reduce(0.0) { $0 + weights[$1] * Double(values[$1 * width + channel]) } / total))
            }
        }
        return result
    }
}
