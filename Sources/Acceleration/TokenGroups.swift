/// Which tokens become one, for each image of a batch: what merging and unmerging go by.
///
/// Groups are numbered so that sources which stay alone come first, ascending, and then the destinations, each with what is
/// merged into it. The reference orders them by likeness; attention does not depend on it.
public struct TokenGroups: Sendable, Equatable {
    /// Tokens of an image before and after merging.
    public let tokens: Int
    public let groups: Int
    /// The group of each token, (images, tokens).
    public private(set) var groupOfToken: [Int32] = []
    /// Where each group's members begin in `members`, (images · groups), and at the end where the last ends.
    public private(set) var offsets: [Int32] = [0]
    /// Tokens, each within its image: of each group the destination first, then the sources, the most alike first.
    public private(set) var members: [Int32] = []

    /// Merges the `count` sources that are most alike their destinations, or all if there are fewer.
    ///
    /// - Parameters:
    ///   - count: how many tokens of each image are merged away.
    ///   - sources: tokens that may be merged, ascending; likewise `destinations`, those that they may be merged into.
    ///   - scores: the likeness of each source to its best destination, (images, sources). Of equal ones the lower source is
    ///     merged first.
    ///   - best: the place of that destination in `destinations`, (images, sources).
    public init(merging count: Int, sources: [Int32], destinations: [Int32], scores: [Float], best: [Int32]) {
        precondition(!sources.isEmpty && scores.count == best.count && scores.count % sources.count == 0)
        tokens = sources.count + destinations.count
        let merged = min(max(0, count), sources.count)
        groups = tokens - merged
        for first in stride(from: 0, to: scores.count, by: sources.count) {
            let part = first..<(first + sources.count)
            let order = Self.mostAlikeFirst(scores[part])
            append(sources, destinations, best: Array(best[part]), merged: order.prefix(merged))
        }
    }

    /// One image's groups.
    ///
    /// - Parameter merged: places in `sources`, the most alike first.
    private mutating func append(_ sources: [Int32], _ destinations: [Int32], best: [Int32], merged: ArraySlice<Int>) {
        var isMerged = [Bool](repeating: false, count: sources.count)
        var sizes = [Int32](repeating: 1, count: groups)
        let alone = groups - destinations.count
        for place in merged {
            isMerged[place] = true
            sizes[alone + Int(best[place])] += 1
        }
        var (group, next) = ([Int32](repeating: 0, count: tokens), [Int]())
        let base = members.count
        for size in sizes {
            next.append(Int(offsets[offsets.count - 1]))
            offsets.append(offsets[offsets.count - 1] + size)
        }
        members += [Int32](repeating: 0, count: tokens)
        precondition(Int(offsets[offsets.count - 1]) == base + tokens)
        func put(_ token: Int32, in index: Int) {
            group[Int(token)] = Int32(index)
            members[next[index]] = token
            next[index] += 1
        }
        for (index, place) in sources.indices.filter({ !isMerged[$0] }).enumerated() { put(sources[place], in: index) }
        for (index, token) in destinations.enumerated() { put(token, in: alone + index) }
        for place in merged { put(sources[place], in: alone + Int(best[place])) }
        groupOfToken += group
    }

    /// The places of scores from the highest to the lowest, of equal ones the lower place first.
    private static func mostAlikeFirst(_ scores: ArraySlice<Float>) -> [Int] {
        // The bits of a float, turned so that they sort as the number does, downwards; below them the place.
        let keys = scores.enumerated().map { place, score -> UInt64 in
            let bits = (score + 0).bitPattern
            let ascending = bits >> 31 == 0 ? bits | 0x8000_0000 : ~bits
            return UInt64(~ascending) << 32 | UInt64(UInt32(place))
        }
        return keys.sorted().map { Int($0 & 0xFFFF_FFFF) }
    }
}
