import Foundation

/// The limits of this process's control group (cgroup v2). Containers and services are limited by such groups. The kernel's
/// admin-guide/cgroup-v2 describes the files.
public struct ControlGroup: Sendable, Equatable {
    /// The quota in whole processors, at least 1; nil without a quota.
    public var processors: Int?
    /// Bytes left below the memory limit; nil without a limit.
    public var freeBytes: Int?
    /// The memory limit in bytes; nil without a limit.
    public var memoryLimit: Int?

    /// The limits of this process.
    public static func current() -> ControlGroup {
        ControlGroup { path in try? String(contentsOfFile: path, encoding: .utf8) }
    }

    /// - Parameter read: returns the text of a file, nil if there is none. A group without a file has no limit of that kind.
    public init(read: (_ path: String) -> String?) {
        // A group's limit holds for all groups below it, so the tightest counts.
        for folder in Self.folders(membership: read("/proc/self/cgroup") ?? "") {
            if let quota = read(folder + "/cpu.max").flatMap(Self.processors(cpuMax:)) {
                processors = min(processors ?? quota, quota)
            }
            if let limit = read(folder + "/memory.max").flatMap(Self.bytes) {
                let used = read(folder + "/memory.current").flatMap(Self.bytes) ?? 0
                let files = read(folder + "/memory.stat").flatMap(Self.inactiveFileBytes(memoryStat:)) ?? 0
                let free = max(0, limit - max(0, used - files))
                freeBytes = min(freeBytes ?? free, free)
                memoryLimit = min(memoryLimit ?? limit, limit)
            }
        }
    }

    /// The folders of a process's group and of all groups above it, the root first, from the text of `/proc/self/cgroup`.
    ///
    /// Within a container the group's own folder is the root. A group outside of the visible tree (`/../x`) leaves the root.
    static func folders(membership: String) -> [String] {
        let root = "/sys/fs/cgroup"
        // Lines with other numbers belong to the older version.
        let line = membership.split(whereSeparator: \.isNewline).first { $0.hasPrefix("0::/") }
        let names = line?.dropFirst(4).split(separator: "/") ?? []
        guard !names.contains("..") else { return [root] }
        return names.reduce(into: [root]) { folders, name in folders.append(folders[folders.count - 1] + "/" + name) }
    }

    /// `cpu.max`: microseconds of processor time in each period, and the period. Rounded down: one thread too many is stopped
    /// for a part of each period, and all others wait for it.
    static func processors(cpuMax: String) -> Int? {
        let fields = cpuMax.split(whereSeparator: \.isWhitespace).map { Int($0) }
        guard fields.count == 2, let quota = fields[0], let period = fields[1], quota > 0, period > 0 else { return nil }
        return max(1, quota / period)
    }

    /// `memory.max` and `memory.current`: a number of bytes; `max` stands for no limit.
    static func bytes(_ text: String) -> Int? {
        guard let bytes = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), bytes >= 0 else { return nil }
        return bytes
    }

    /// `memory.stat`: bytes of cached files. The kernel gives them up first when memory gets short.
    static func inactiveFileBytes(memoryStat: String) -> Int? {
        let line = memoryStat.split(whereSeparator: \.isNewline).first { $0.hasPrefix("inactive_file ") }
        return line.flatMap { Self.bytes(String($0.dropFirst("inactive_file ".count))) }
    }
}
