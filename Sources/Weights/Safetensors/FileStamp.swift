import Glibc

/// Identifies one state of a file on this host.
///
/// Every change of a file gives it another stamp: the system sets `changed` itself, and no program can set it back. A stamp
/// cannot see a change
/// - below the file system: a failing disk, or writes to the block device;
/// - by a program that mapped the file for writing beforehand, until the system writes the changed pages back;
/// - on some network file systems and FUSE, where times have whole seconds, come from another clock or may be set;
/// - while the clock of the system is set back on purpose.
///
/// `patchloom model verify` reads the bytes themselves.
struct FileStamp: Hashable, Sendable {
    /// The device and the number of the file. Two files do not have the same place at the same time.
    struct Place: Hashable, Sendable {
        let device: UInt64
        let inode: UInt64
    }

    let place: Place
    let size: Int64
    /// The times of the last change of the content, and of the last change of content or attributes, in nanoseconds since 1970.
    let modified: Int64
    let changed: Int64

    /// The coarsest times that file systems keep are two seconds apart (FAT); the third second is for clocks that differ a
    /// little.
    static let freshness: Int64 = 3_000_000_000

    init(place: Place, size: Int64, modified: Int64, changed: Int64) {
        (self.place, self.size, self.modified, self.changed) = (place, size, modified, changed)
    }

    init(_ status: stat) {
        place = Place(
            device: UInt64(truncatingIfNeeded: status.st_dev), inode: UInt64(truncatingIfNeeded: status.st_ino))
        size = Int64(status.st_size)
        modified = nanoseconds(status.st_mtim)
        changed = nanoseconds(status.st_ctim)
    }

    /// The state of the file at `path`, links followed; nil if nothing is there.
    init?(path: String) {
        guard let status = status(of: path) else { return nil }
        self.init(status)
    }

    /// Whether every change from `time` on gives the file another stamp. A file that changed just before may change again
    /// within the same tick of the file system's clock, and keep its stamp. Times in the future never count as settled, nor
    /// do files of a file system that keeps no times.
    func isSettled(at time: Int64) -> Bool {
        let (limit, overflow) = time.subtractingReportingOverflow(Self.freshness)
        return !overflow && changed > 0 && max(modified, changed) < limit
    }

    /// The time of the system's clock, in nanoseconds since 1970.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return nanoseconds(time)
    }
}

private func nanoseconds(_ time: timespec) -> Int64 {
    Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000).partialValue &+ Int64(time.tv_nsec)
}
