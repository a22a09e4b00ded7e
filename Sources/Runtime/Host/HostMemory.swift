internal import Foundation

/// The free memory of this host.
public enum HostMemory {
    /// Bytes that new processes can use without swapping: the kernel's estimate, or less in a control group with a limit. nil
    /// if the system says neither.
    public static func freeBytes() -> Int? {
        [
            availableBytes(meminfo: try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)),
            ControlGroup.current().freeBytes,
        ]
        .compactMap { $0 }.min()
    }

    /// `MemAvailable:   1234 kB` of `/proc/meminfo`; nil without that line.
    static func availableBytes(meminfo: String?) -> Int? {
        let line = meminfo?.split(whereSeparator: \.isNewline).first { $0.hasPrefix("MemAvailable:") }
        guard let kibibytes = line?.split(separator: " ").compactMap({ Int($0) }).first, kibibytes >= 0 else { return nil }
        let (bytes, overflow) = kibibytes.multipliedReportingOverflow(by: 1024)
        return overflow ? nil : bytes
    }
}
