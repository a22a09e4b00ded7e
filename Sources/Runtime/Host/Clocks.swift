internal import CSystem
internal import Cluster

/// The monotonic clock of both machines. It stands still while the host sleeps.
func monotonicNow() -> Instant { Instant(nanoseconds: csystem_monotonic_nanoseconds()) }

extension Interval {
    var duration: Duration { .nanoseconds(nanoseconds) }
}

/// CPU time of the calling thread.
struct ThreadStopwatch {
    private let thread = csystem_thread_id()
    private let start: Int64

    init() { start = csystem_thread_cpu_nanoseconds(csystem_thread_id()) }

    var elapsed: Int64 { csystem_thread_cpu_nanoseconds(thread) - start }
}

/// CPU time of all threads that move messages in this process: the thread that made this value, and libzmq's own.
struct WireClock {
    private let threads: [Int32]

    /// Must be made on the I/O thread, after its first socket: only then do libzmq's threads exist.
    init() {
        var found = [Int32](repeating: 0, count: 16)
        let count = csystem_threads_named("ZMQbg/IO", &found, Int32(found.count))
        threads = [csystem_thread_id()] + found.prefix(Int(count))
    }

    var nanoseconds: Int64 { threads.reduce(0) { $0 + max(0, csystem_thread_cpu_nanoseconds($1)) } }
}
