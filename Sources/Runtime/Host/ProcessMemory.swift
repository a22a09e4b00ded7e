internal import Cluster
internal import Foundation
internal import Synchronization

/// This process's use of memory, as the kernel counts it (proc(5): `status`, `smaps_rollup` and `clear_refs`).
///
/// Pages that several processes map, such as packed weights, count once for all of them: each process has its share.
enum ProcessMemory {
    /// The peak since the process began, or since the last `forgetPeak`.
    private struct Findings {
        /// The largest use.
        var largest = 0
        /// The time at which shares were read last, and the resident peak then.
        var reading: (time: Instant, peak: Int)?

        /// The kernel counts shares page by page, which can take longer than a short task. So they are read when there are
        /// more pages than before, and otherwise once a second.
        func needsShares(_ peak: Int, _ now: Instant) -> Bool {
            guard let reading else { return true }
            return peak > reading.peak + reading.peak / 50 || now.since(reading.time) >= .seconds(1)
        }
    }

    private static let findings = Mutex(Findings())

    /// The most bytes that were resident at once since the process began, or since the last `forgetPeak`: weights, activations,
    /// the program, and its share of those pages of mapped files that were touched. 0 where the kernel does not say.
    ///
    /// The kernel has the peak of all resident pages, but the shares only of this moment. So the peak less the others' shares
    /// is right if it is taken before other files are mapped: after each task.
    static func peakBytes() -> Int {
        findings.withLock { findings in
            let (status, now) = (text("/proc/self/status"), monotonicNow())
            let peak = peakBytes(status: status)
            if findings.needsShares(peak, now) {
                findings.largest = max(findings.largest, peakBytes(status: status, shares: text("/proc/self/smaps_rollup")))
                findings.reading = (now, peak)
                resetResidentPeak()
            }
            return findings.largest
        }
    }

    /// - Parameters:
    ///   - status: has the peak, `VmHWM:    1234 kB`.
    ///   - shares: has all resident pages and this process's share, `Rss:` and `Pss:`; empty on old kernels.
    static func peakBytes(status: String, shares: String = "") -> Int {
        let peak = bytes("VmHWM:", in: status)
        let others = bytes("Rss:", in: shares) - bytes("Pss:", in: shares)
        return max(0, peak - max(0, others))
    }

    /// Begins to measure the peak anew. If the kernel does not allow it, the peak stays that of the whole process, which is
    /// never too low.
    static func forgetPeak() {
        resetResidentPeak()
        findings.withLock { $0 = Findings() }
    }

    private static func resetResidentPeak() {
        guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return }
        try? file.write(contentsOf: Data("5".utf8))
        try? file.close()
    }

    private static func text(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    /// The number of a line such as `Rss:    1234 kB`; 0 if there is none.
    private static func bytes(_ name: String, in text: String) -> Int {
        let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
        guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
            return 0
        }
        let (bytes, overflow) = kibibytes.multipliedReportingOverflow(by: 1024)
        return overflow || bytes < 0 ? 0 : bytes
    }
}
