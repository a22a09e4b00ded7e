/// The groups of tokens that merge into one, for each image of a batch. Merging and unmerging use them.
///
/// Groups are numbered. Sources that stay alone come first, ascending. Then come the destinations, each with the sources
/// merged into it. The reference orders them by likeness; attention does not depend on the order.
public struct TokenGroups: Sendable, Equatable {
    /// The numbers of an image's tokens before and after merging.
    public let tokens: Int
    public let groups: Int
    /// The group of each token, (images, tokens).
    public private(set) var groupOfToken: [Int32] = []
    /// The start of each group's members in `members`, (images · groups), and the end of the last group.
    public private(set) var offsets: [Int32] = [0]
    /// Tokens, numbered within their image. Each group has the destination first, then the sources, the most alike first.
    public private(set) var members: [Int32] = []

    /// Merges the `count` sources that are most alike to their destinations, or all sources if there are fewer.
    ///
    /// - Parameters:
    ///   - count: the number of tokens of each image to merge away.
    ///   - sources: tokens that may be merged, ascending.
    ///   - destinations: tokens to merge them into, ascending.
    ///   - scores: the likeness of each source to its best destination, (images, sources). Among equal ones the lower source
    ///     merges first.
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

    /// Adds one image's groups.
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

    /// The places of scores from the highest score to the lowest. Among equal scores the lower place comes first.
    private static func mostAlikeFirst(_ scores: ArraySlice<Float>) -> [Int] {
        // The bits of a float, turned so that they sort like the number, downwards. The place is below them.
        let keys = scores.enumerated().map { place, score -> UInt64 in
            let bits = (score + 0).bitPattern
            let ascending = bits >> 31 == 0 ? bits | 0x8000_0000 : ~bits
            return UInt64(~ascending) << 32 | UInt64(UInt32(place))
        }
        return keys.sorted().map { Int($0 & 0xFFFF_FFFF) }
    }
}
