/// 128 bits that name a worker or a process.
public struct PeerID: Sendable, Hashable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// One conversation between the coordinator and a worker, from WELCOME until either end gives it up.
public struct SessionID: Sendable, Hashable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// The fencing number of one try at a task. It grows, and one coordinator never uses it twice.
public struct LeaseID: Sendable, Hashable, Comparable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: LeaseID, right: LeaseID) -> Bool { left.rawValue < right.rawValue }
}

/// A job, numbered in the order of submission.
public struct JobID: Sendable, Hashable, Comparable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }

    public static func < (left: JobID, right: JobID) -> Bool { left.rawValue < right.rawValue }
}

/// The shared data of a barrier's tasks, which a worker must hold before it runs them. The owner of the machine assigns the
/// numbers; equal content may have equal numbers.
public struct ContextID: Sendable, Hashable {
    public var rawValue: UInt64

    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// A task: its job, the barrier's number within the job, and its place in the barrier.
public struct TaskKey: Sendable, Hashable {
    public var job: JobID
    public var barrier: Int
    public var index: Int

    public init(job: JobID, barrier: Int, index: Int) {
        self.job = job
        self.barrier = barrier
        self.index = index
    }
}

/// A point on a monotonic clock, in nanoseconds. The machines never read a clock: events bring the time.
public struct Instant: Sendable, Hashable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    /// The instant later by the interval. Wraps instead of trapping.
    public static func + (instant: Instant, interval: Interval) -> Instant {
        Instant(nanoseconds: instant.nanoseconds &+ interval.nanoseconds)
    }

    /// The time from `earlier` to this.
    public func since(_ earlier: Instant) -> Interval { Interval(nanoseconds: nanoseconds &- earlier.nanoseconds) }
}

/// A length of time, in nanoseconds.
public struct Interval: Sendable, Hashable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// An interval of this number of milliseconds; a very long one if the number is too large.
    public static func milliseconds(_ count: Int) -> Interval {
        let product = Int64(count).multipliedReportingOverflow(by: 1_000_000)
        return Interval(nanoseconds: product.overflow ? Int64.max / 4 : product.partialValue)
    }

    /// An interval of this number of seconds.
    public static func seconds(_ count: Int) -> Interval { .milliseconds(count &* 1000) }

    public var milliseconds: Int { Int(nanoseconds / 1_000_000) }

    public static func < (left: Interval, right: Interval) -> Bool { left.nanoseconds < right.nanoseconds }
}

/// A table that remembers the order of its keys. The order of a hash table differs from process to process; here nothing
/// depends on it.
struct OrderedTable<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    private(set) var keys: [Key] = []
    private var table: [Key: Value] = [:]

    var values: [Value] { keys.compactMap { table[$0] } }
    var isEmpty: Bool { keys.isEmpty }

    subscript(key: Key) -> Value? {
        get { table[key] }
        set {
            if let newValue {
                if table.updateValue(newValue, forKey: key) == nil { keys.append(key) }
            } else if table.removeValue(forKey: key) != nil, let position = keys.firstIndex(of: key) {
                keys.remove(at: position)
            }
        }
    }

    /// Changes a value in place. Nothing happens if the key is unknown.
    mutating func update(_ key: Key, _ body: (inout Value) -> Void) {
        guard let index = table.index(forKey: key) else { return }
        body(&table.values[index])
    }
}

extension OrderedTable where Key: Comparable {
    /// Adds a value at the place of its key, in a table whose keys rise. A key that is there keeps its value.
    mutating func insertInOrder(_ value: Value, for key: Key) {
        guard table[key] == nil else { return }
        table[key] = value
        keys.insert(key, at: keys.lastIndex { $0 < key }.map { $0 + 1 } ?? 0)
    }
}
