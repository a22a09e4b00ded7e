/// A sorted list of durations, which grows one by one to tens of thousands. Adding one moves some hundred others, not all.
struct SortedDurations: Sendable {
    /// Runs of sorted durations, none of them empty; no duration of a run is longer than one of the next.
    private var runs: [[Int64]] = []
    private(set) var count = 0

    private static let longestRun = 512

    var isEmpty: Bool { count == 0 }

    /// Adds a duration, in nanoseconds.
    mutating func insert(_ duration: Int64) {
        count += 1
        guard !runs.isEmpty else {
            runs = [[duration]]
            return
        }
        let run = min(runs.firstPosition { $0[$0.endIndex - 1] >= duration }, runs.count - 1)
        runs[run].insert(duration, at: runs[run].firstPosition { $0 >= duration })
        guard runs[run].count > Self.longestRun else { return }
        let half = runs[run].count / 2
        runs.insert(Array(runs[run][half...]), at: run + 1)
        runs[run].removeSubrange(half...)
    }

    /// The duration at a percentile, in nanoseconds: at least `percent` per cent of the durations are not longer. There must be
    /// a duration.
    func percentile(_ percent: Int) -> Int64 {
        var position = count * percent / 100
        for run in runs {
            if position < run.count { return run[position] }
            position -= run.count
        }
        return runs.last?.last ?? 0
    }
}

extension Array {
    /// The first position whose element passes; the end if none does. All elements behind one that passes must pass too.
    fileprivate func firstPosition(where passes: (Element) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if passes(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
