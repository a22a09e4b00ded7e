internal import CSystem
internal import Glibc
import Sentences
internal import Synchronization

/// Commands for one thread. Any thread posts, the owner drains. A descriptor is readable while commands wait, so the owner
/// can wait for commands and sockets at once.
final class Mailbox<Command: Sendable>: Sendable {
    private struct State {
        var commands: [Command] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    /// The most commands of strangers that may wait.
    private static var capacity: Int { 4096 }
    /// Readable while commands wait. Closed with the mailbox.
    let descriptor: Int32

    /// - Throws: `RuntimeError` when no descriptor is left.
    init() throws(RuntimeError) {
        let descriptor = csystem_eventfd_create()
        guard descriptor >= 0 else {
            throw RuntimeError(.internalFault, "No file descriptor is left (error \(-descriptor)).")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Adds a command of this program's own threads. Their number is bounded by the jobs and tasks. No command is lost while
    /// the owner lives.
    func post(_ command: Command) { _ = add(command, atMost: .max) }

    /// Adds a command that strangers can cause. False if the mailbox is full or closed: the caller refuses.
    func offer(_ command: Command) -> Bool { add(command, atMost: Self.capacity) }

    private func add(_ command: Command, atMost limit: Int) -> Bool {
        let (isAccepted, wakes) = state.withLock { state -> (Bool, Bool) in
            guard !state.isClosed, state.commands.count < limit else { return (false, false) }
            state.commands.append(command)
            // The owner takes all commands at once, so only the first needs to wake it.
            return (true, state.commands.count == 1)
        }
        if wakes {
            var one: UInt64 = 1
            // A full counter is readable already, and a signal means no more than that.
            while write(descriptor, &one, MemoryLayout<UInt64>.size) < 0, errno == EINTR {}
        }
        return isAccepted
    }

    /// Takes all waiting commands.
    func drain() -> [Command] {
        // The wake-up is cleared first: a command posted in between causes a needless wake-up, never a lost one.
        var count: UInt64 = 0
        while read(descriptor, &count, MemoryLayout<UInt64>.size) < 0, errno == EINTR {}
        return state.withLock { state in
            let commands = state.commands
            state.commands = []
            return commands
        }
    }

    /// Waits for commands and takes them. For owners that wait for nothing else.
    func wait() -> [Command] {
        while true {
            let commands = drain()
            if !commands.isEmpty { return commands }
            waitForSignal(milliseconds: -1)
        }
    }

    /// Waits for commands and takes them; nil if none comes in that time.
    func wait(atMost time: Duration) -> [Command]? {
        let end = ContinuousClock.now + time
        while true {
            let commands = drain()
            if !commands.isEmpty { return commands }
            let left = ContinuousClock.now.duration(to: end)
            guard left > .zero else { return nil }
            // Rounded up, so that the last wait is not cut into many of no length.
            waitForSignal(milliseconds: Int32(clamping: Int(left / .milliseconds(1)) + 1))
        }
    }

    private func waitForSignal(milliseconds: Int32) {
        var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        poll(&item, 1, milliseconds)
    }

    /// Refuses all further commands.
    func closeForPosting() { state.withLock { $0.isClosed = true } }
}
