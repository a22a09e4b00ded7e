internal import Foundation
internal import Glibc

/// The memory of this host.
public enum HostMemory {
    /// The host's memory in bytes, without swap, or the limit of a control group (v2); 0 if the system does not say.
    public static func totalBytes() -> Int {
        let (pages, size) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
        let (bytes, overflow) = max(0, pages).multipliedReportingOverflow(by: max(0, size))
        return totalBytes(host: overflow ? 0 : bytes, limit: ControlGroup.current().memoryLimit)
    }

    /// - Parameters:
    ///   - host: the host's bytes; not positive if the system does not say.
    ///   - limit: the bytes of the control group's limit; nil without a limit.
    static func totalBytes(host: Int, limit: Int?) -> Int {
        guard host > 0 else { return limit ?? 0 }
        return min(host, limit ?? host)
    }

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
