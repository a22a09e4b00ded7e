internal import CSystem
internal import Glibc
internal import Synchronization

/// Commands for one thread: any thread posts, the owner drains, and a descriptor becomes readable while something waits, so
/// that the owner can wait for it and for sockets at once.
final class Mailbox<Command: Sendable>: Sendable {
    private struct State {
        var commands: [Command] = []
        var isClosed = false
    }

    private let state = Mutex(State())
    private let capacity: Int
    /// Readable while commands wait. Closed with the mailbox.
    let descriptor: Int32

    /// - Throws: `RuntimeError` when no descriptor is left.
    init(capacity: Int = 4096) throws(RuntimeError) {
        self.capacity = capacity
        let descriptor = csystem_eventfd_create()
        guard descriptor >= 0 else {
            throw RuntimeError(.internalFault, "The system has no descriptor left (error \(-descriptor)).")
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Adds a command of this program's own threads. Their number follows from what was taken in, so none may be lost, and
    /// none is while the owner lives.
    func post(_ command: Command) { _ = add(command, atMost: .max) }

    /// Adds a command that somebody outside can cause as often as he likes. False when the mailbox is full or its owner has
    /// gone: the caller refuses.
    func offer(_ command: Command) -> Bool { add(command, atMost: capacity) }

    private func add(_ command: Command, atMost limit: Int) -> Bool {
        let (isAccepted, wakes) = state.withLock { state -> (Bool, Bool) in
            guard !state.isClosed, state.commands.count < limit else { return (false, false) }
            state.commands.append(command)
            // The owner takes all at once, so only the first of a batch needs to wake it.
            return (true, state.commands.count == 1)
        }
        if wakes { csystem_eventfd_signal(descriptor) }
        return isAccepted
    }

    /// Takes everything that waits.
    func drain() -> [Command] {
        // The wake-up is cleared before the commands are taken: one posted in between causes a needless wake-up, never a lost
        // one.
        csystem_eventfd_drain(descriptor)
        return state.withLock { state in
            let commands = state.commands
            state.commands = []
            return commands
        }
    }

    /// Waits until something is there, and takes it. For owners that wait for nothing else.
    func wait() -> [Command] {
        while true {
            let commands = drain()
            if !commands.isEmpty { return commands }
            var item = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            poll(&item, 1, -1)
        }
    }

    /// No command is taken any more.
    func closeForPosting() { state.withLock { $0.isClosed = true } }
}
