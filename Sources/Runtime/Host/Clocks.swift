internal import Cluster
internal import Foundation

/// The monotonic clock of both machines. It stands still while the host sleeps.
func monotonicNow() -> Instant { Instant(nanoseconds: nanoseconds(CLOCK_MONOTONIC)) }

/// The time of a clock; 0 if there is no such clock.
private func nanoseconds(_ clock: clockid_t) -> Int64 {
    var time = timespec()
    clock_gettime(clock, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

extension Interval {
    var duration: Duration { .nanoseconds(nanoseconds) }
}

/// CPU time of the calling thread.
struct ThreadStopwatch {
    private let start = nanoseconds(CLOCK_THREAD_CPUTIME_ID)

    var elapsed: Int64 { nanoseconds(CLOCK_THREAD_CPUTIME_ID) - start }
}

/// CPU time of all threads that move messages in this process: the thread that made this value, and libzmq's own.
struct WireClock {
    private let clocks: [clockid_t]

    /// Must be made on the I/O thread, after its first socket: only then do libzmq's threads exist.
    init() {
        var own = clockid_t()
        pthread_getcpuclockid(pthread_self(), &own)
        let tasks = "/proc/self/task"
        let threads = ((try? FileManager.default.contentsOfDirectory(atPath: tasks)) ?? []).compactMap { Int32($0) }
        let moving = threads.filter { id in
            (try? String(contentsOfFile: "\(tasks)/\(id)/comm", encoding: .utf8))?.hasPrefix("ZMQbg/IO") == true
        }
        // Linux numbers a thread's CPU clock so: the inverted id, the flag for one thread (4), the scheduler's clock (2).
        clocks = [own] + moving.map { ~$0 << 3 | 6 }
    }

    var nanoseconds: Int64 { clocks.reduce(0) { $0 + Runtime.nanoseconds($1) } }
}
