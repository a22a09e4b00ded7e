import Glibc

/// Identifies one state of a file on this host.
struct FileStamp: Equatable {
    let device: UInt64
    let inode: UInt64
    let size: Int64
    /// Nanoseconds since 1970: last change of the content, last change of content or attributes.
    let modified: Int64
    let changed: Int64

    init(_ status: stat) {
        func nanoseconds(_ time: timespec) -> Int64 {
            Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
        }
        device = UInt64(truncatingIfNeeded: status.st_dev)
        inode = UInt64(truncatingIfNeeded: status.st_ino)
        size = Int64(status.st_size)
        modified = nanoseconds(status.st_mtim)
        changed = nanoseconds(status.st_ctim)
    }

    /// The state of what is at `path`, links followed; nil when nothing is.
    init?(path: String) {
        guard let status = status(of: path) else { return nil }
        self.init(status)
    }
}
