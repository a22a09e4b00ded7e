import Testing

@testable import Cluster

/// The views of a very large picture are tens of thousands of tasks.
@Suite struct ScaleTests {
    /// A barrier of `count` tasks on eight workers of two slots, in the order in which the leases are given.
    ///
    /// - Returns: the microseconds of the machine for each task.
    private func microsecondsPerTask(_ count: Int) -> Double {
        var bench = Bench()
        for number in 1...8 { _ = bench.join(UInt64(number), slots: 2) }
        let start = ContinuousClock.now
        _ = bench.submit(costs: [Double](repeating: 1, count: count))
        var (leases, next, collected) = (bench.takeLeases(), 0, false)
        while next < leases.count {
            bench.now = bench.now + .milliseconds(1)
            let done = bench.finish(leases[next], milliseconds: 1 + next % 97)
            collected = collected || done.contains { if case .collected = $0 { true } else { false } }
            leases += bench.takeLeases()
            next += 1
            if next % 64 == 0 { _ = bench.machine.nextDeadline() }
        }
        let time = start.duration(to: .now)
        #expect(collected && bench.machine.taskCounts(of: JobID(1))?.done == count)
        #expect(bench.machine.inconsistency() == nil)
        return time / .microseconds(1) / Double(count)
    }

    /// A copy of the list of tasks for each of them made it fail in a debug build. Other tests run meanwhile, so the limit is
    /// wide.
    @Test func theWorkForATaskDoesNotGrowWithTheirNumber() {
        let (few, many) = (microsecondsPerTask(1000), microsecondsPerTask(64_000))
        #expect(many < 4 * few, "\(few) and \(many) µs")
    }

    @Test func percentilesAreThoseOfTheSortedList() {
        var numbers = SystemRandomNumberGenerator()
        for count in [1, 2, 511, 512, 513, 5000] {
            var (durations, list) = (SortedDurations(), [Int64]())
            #expect(durations.isEmpty)
            for _ in 0..<count {
                let duration = Int64.random(in: 0..<Int64(count), using: &numbers)
                durations.insert(duration)
                list.append(duration)
            }
            list.sort()
            #expect(durations.count == count)
            for percent in [0, 50, 95, 99] { #expect(durations.percentile(percent) == list[count * percent / 100]) }
        }
    }
}
