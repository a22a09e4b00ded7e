import Glibc

/// A range of addresses that becomes memory from its beginning on, as far as it is needed.
///
/// Freed parts join their free neighbours, so that the memory of many small tensors serves a large one later. A part goes to
/// the lowest place where it fits: then the range needs little more memory than the most bytes in use at once.
final class MemoryRange {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    /// Parts below `top` that nobody uses, by address. No two of them touch.
    private var free: [Part] = []
    /// The bytes from the beginning that belong to used or free parts.
    private var top = 0
    /// Bytes of free parts that `trim` gave back, and that are not used again yet.
    private var trimmedBytes = 0
    /// The bytes from the beginning that may be read and written.
    private var readable = 0

    private struct Part {
        var offset: Int
        var count: Int
        var end: Int { offset + count }
    }

    /// Bytes of addresses that the process may have.
    static func addressLimit() -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0 else { return .max }
        return Int(clamping: limit.rlim_cur)
    }

    /// Whether the system counts memory when it is promised, not when it is used (proc(5)).
    static func countsPromises() -> Bool {
        let file = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        var digit: UInt8 = 0
        return read(file, &digit, 1) == 1 && digit == UInt8(ascii: "2")
    }

    /// Bytes of whole pages.
    static func pages(_ byteCount: Int) -> Int {
        let page = Int(getpagesize())
        return (byteCount + page - 1) / page * page
    }

    /// Reserves addresses, which costs no memory.
    ///
    /// - Parameter least: a process whose addresses are limited (`ulimit -v`) gets an eighth of them at most, or this number of
    ///   bytes if it is more: the rest is for weights and everything else.
    /// - Returns: nil if the system does not even have `least` bytes.
    init?(byteCount wanted: Int, least: Int, addressLimit: Int = MemoryRange.addressLimit()) {
        var count = MemoryRange.pages(max(min(wanted, addressLimit / 8), least))
        while true {
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
            if let range = mmap(nil, count, PROT_NONE, flags, -1, 0), range != MAP_FAILED {
                (base, byteCount) = (range, count)
                return
            }
            guard count > MemoryRange.pages(least) else { return nil }
            count = max(MemoryRange.pages(least), MemoryRange.pages(count / 4))
        }
    }

    /// Bytes of free parts. `trim` gives their memory back, and still counts those below a used part.
    var idleBytes: Int { free.reduce(0) { $0 + $1.count } }

    /// Bytes of used parts, and about those of free ones whose memory was not given back.
    var heldBytes: Int { top - trimmedBytes }

    func contains(_ pointer: UnsafeMutableRawPointer) -> Bool { pointer >= base && pointer < base + byteCount }

    /// A part of `count` bytes, which are whole pages.
    ///
    /// - Returns: its address, and whether the system had to give memory for it; nil if no place is large enough, or the system
    ///   has no memory.
    func allocate(_ count: Int) -> (address: UnsafeMutableRawPointer, isNew: Bool)? {
        if let index = free.firstIndex(where: { $0.count >= count }) {
            let offset = free[index].offset
            free[index].offset += count
            free[index].count -= count
            if free[index].count == 0 { free.remove(at: index) }
            trimmedBytes = max(0, trimmedBytes - count)
            return (base + offset, false)
        }
        // A free part at the end is where the new one begins.
        let offset = free.last.flatMap { $0.end == top ? $0.offset : nil } ?? top
        let (end, overflow) = offset.addingReportingOverflow(count)
        guard !overflow, end <= byteCount else { return nil }
        if end > readable {
            guard mprotect(base + readable, end - readable, PROT_READ | PROT_WRITE) == 0 else { return nil }
            readable = end
        }
        if offset < top { free.removeLast() }
        top = end
        return (base + offset, true)
    }

    /// Takes back a part of `allocate`.
    func recycle(_ address: UnsafeMutableRawPointer, _ count: Int) {
        var part = Part(offset: address - base, count: count)
        var index = free.firstIndex { $0.offset > part.offset } ?? free.count
        if index < free.count, part.end == free[index].offset { part.count += free.remove(at: index).count }
        if index > 0, free[index - 1].end == part.offset {
            index -= 1
            part = Part(offset: free[index].offset, count: free[index].count + part.count)
            free.remove(at: index)
        }
        free.insert(part, at: index)
    }

    /// Gives the memory of free parts back to the system.
    func trim() {
        for part in free { madvise(base + part.offset, part.count, MADV_DONTNEED) }
        if let last = free.last, last.end == top {
            top = last.offset
            free.removeLast()
        }
        trimmedBytes = idleBytes
    }

    deinit { munmap(base, byteCount) }
}
