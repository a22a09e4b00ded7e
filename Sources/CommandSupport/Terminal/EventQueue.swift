import CSystem
import Glibc
import Synchronization

/// Events from any thread for one thread that waits.
public final class EventQueue<Event: Sendable>: Sendable {
    private let waiting = Mutex<[Event]>([])
    /// The reader sleeps on this pipe. The queue lives as long as the process, so nothing closes it.
    private let wakeUp: Int32
    private let wake: Int32

    /// An empty queue.
    public init() throws(CommandFailure) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0, fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0 else {
            throw CommandFailure(.internalFault, "A pipe cannot be made: \(systemText(errno)).")
        }
        wakeUp = ends[0]
        wake = ends[1]
    }

    /// Adds an event and wakes the reader.
    public func post(_ event: Event) {
        let wasEmpty = waiting.withLock { events in
            events.append(event)
            return events.count == 1
        }
        // Each emptying of the queue leaves at most one byte in the pipe, so the write never blocks.
        if wasEmpty { writeAll([0], to: wake) }
    }

    /// The next event; nil if none came in time.
    public func next(withinMilliseconds timeout: Int32? = nil) -> Event? {
        while true {
            let event = waiting.withLock { events in events.isEmpty ? nil : events.removeFirst() }
            if let event { return event }
            var item = pollfd(fd: wakeUp, events: Int16(POLLIN), revents: 0)
            let ready = poll(&item, 1, timeout ?? -1)
            if ready == 0 { return nil }
            if ready > 0 {
                var byte: UInt8 = 0
                _ = read(wakeUp, &byte, 1)
            }
        }
    }
}

/// The system's text for an error number.
func systemText(_ number: Int32) -> String { String(cString: strerror(number)) }

/// Writes all bytes to a descriptor; gives up if its other end is gone.
public func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
    var written = 0
    while written < bytes.count {
        let count = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress?.advanced(by: written), $0.count - written) }
        if count < 0 && errno == EINTR { continue }
        if count <= 0 { return }
        written += count
    }
}
