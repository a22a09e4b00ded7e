internal import Foundation

/// This process's use of memory, as the kernel counts it (proc(5): `status` and `clear_refs`).
enum ProcessMemory {
    /// The most bytes that were resident at once since the process began, or since the last `forgetPeak`: weights, activations,
    /// the program, and those pages of mapped files that were touched. 0 where the kernel does not say.
    static func peakBytes() -> Int {
        peakBytes(status: (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? "")
    }

    /// `VmHWM:    1234 kB`
    static func peakBytes(status: String) -> Int {
        let line = status.split(whereSeparator: \.isNewline).first { $0.hasPrefix("VmHWM:") }
        guard let kibibytes = line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap({ Int($0) }) else {
            return 0
        }
        let (bytes, overflow) = kibibytes.multipliedReportingOverflow(by: 1024)
        return overflow || bytes < 0 ? 0 : bytes
    }

    /// Begins to measure the peak anew. If the kernel does not allow it, the peak stays that of the whole process, which is
    /// never too low.
    static func forgetPeak() {
        guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return }
        try? file.write(contentsOf: Data("5".utf8))
        try? file.close()
    }
}
