import Foundation
import Synchronization

/// Events from any thread for one thread that waits.
public final class EventQueue<Event: Sendable>: Sendable {
    private let waiting = Mutex<[Event]>([])
    /// The reader sleeps on this pipe. The queue lives as long as the process, so nothing closes it.
    private let pipe: PipeEnds

    /// An empty queue.
    public init() throws(CommandFailure) { pipe = try PipeEnds() }

    /// Adds an event and wakes the reader.
    public func post(_ event: Event) {
        let wasEmpty = waiting.withLock { events in
            events.append(event)
            return events.count == 1
        }
        // Each emptying of the queue leaves at most one byte in the pipe, so the write never blocks.
        if wasEmpty { _ = write(pipe.toWrite, [0], 1) }
    }

    /// The next event.
    public func next() -> Event {
        while true {
            if let event = next(withinMilliseconds: -1) { return event }
        }
    }

    /// The next event; nil if none came in time. A negative time has no end.
    func next(withinMilliseconds timeout: Int32) -> Event? {
        while true {
            let event = waiting.withLock { events in events.isEmpty ? nil : events.removeFirst() }
            if let event { return event }
            var item = pollfd(fd: pipe.toRead, events: Int16(POLLIN), revents: 0)
            let ready = poll(&item, 1, timeout)
            if ready == 0 { return nil }
            if ready > 0 {
                var byte: UInt8 = 0
                _ = read(pipe.toRead, &byte, 1)
            }
        }
    }
}

/// A pipe that programs started by this one do not inherit.
struct PipeEnds: Sendable {
    let toRead: Int32
    let toWrite: Int32

    init() throws(CommandFailure) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0, fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0, fcntl(ends[1], F_SETFD, FD_CLOEXEC) == 0 else {
            throw CommandFailure(.internalFault, "A pipe cannot be made: \(systemText(errno)).")
        }
        (toRead, toWrite) = (ends[0], ends[1])
    }
}

/// The system's text for an error number.
func systemText(_ number: Int32) -> String { String(cString: strerror(number)) }

/// Writes text to standard error; gives up if nobody reads it.
public func writeError(_ text: String) { try? FileHandle.standardError.write(contentsOf: Data(text.utf8)) }
