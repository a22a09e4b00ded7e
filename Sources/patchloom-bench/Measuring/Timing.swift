import MethodComparison

/// The durations of runs of one thing, in seconds.
struct Timing {
    /// The durations in the order of the runs.
    private(set) var seconds: [Double]

    /// - Parameter seconds: at least one.
    init(_ seconds: [Double]) {
        precondition(!seconds.isEmpty, "nothing was timed")
        self.seconds = seconds
    }

    /// Times `body`, after one call that is not counted.
    init(runs: Int, warmUp: Bool = true, _ body: () throws -> Void) rethrows {
        if warmUp { try body() }
        let clock = ContinuousClock()
        self.init(try (0..<runs).map { _ in try clock.measure(body) / .seconds(1) })
    }

    var best: Double { seconds.min() ?? 0 }
    var median: Double { Statistics.median(seconds) ?? 0 }

    /// The same runs, each as a part of `count` equal ones.
    func divided(by count: Int) -> Timing { Timing(seconds.map { $0 / Double(count) }) }

    mutating func append(_ other: Timing) { seconds += other.seconds }
}
