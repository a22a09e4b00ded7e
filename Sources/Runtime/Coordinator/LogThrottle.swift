internal import Cluster

/// Limits the lines that strangers can cause: some a second are written, the others are only counted.
struct LogThrottle {
    static let linesPerSecond = 10

    private var start: Instant?
    private var lines = 0
    private var leftOut = 0

    /// Whether one more line may be written now.
    mutating func admits(_ now: Instant) -> Bool {
        if isOver(now) {
            start = now
            lines = 0
        }
        guard lines < LogThrottle.linesPerSecond else {
            leftOut += 1
            return false
        }
        lines += 1
        return true
    }

    /// The number of lines left out and not yet reported; 0 until their second is over.
    mutating func takeLeftOut(_ now: Instant) -> Int {
        guard isOver(now) else { return 0 }
        defer { leftOut = 0 }
        return leftOut
    }

    private func isOver(_ now: Instant) -> Bool { start.map { now.since($0) >= .seconds(1) } ?? true }
}
