internal import CSystem
internal import Glibc
import Sentences
internal import Synchronization

/// A thread of the operating system with a name. All threads are made here. Computing and waiting for sockets never happen on
/// Swift's own pool, which has one thread a core and would stall.
final class OSThread: Sendable {
    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private let handle: Mutex<pthread_t?>

    /// Starts a thread. Main-actor code must not hold the closure: it would carry that isolation onto the new thread.
    /// - Throws: `RuntimeError` when the system has no thread left.
    init(named name: String, stackBytes: Int = 8 << 20, _ body: @escaping @Sendable () -> Void) throws(RuntimeError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackBytes)
        var thread = pthread_t()
        let raw = Unmanaged.passRetained(Body(body)).toOpaque()
        let result = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, raw)
        guard result == 0 else {
            Unmanaged<Body>.fromOpaque(raw).release()
            throw RuntimeError(.internalFault, "The system has no thread left (error \(result)).")
        }
        _ = csystem_thread_set_name(thread, name)
        handle = Mutex(thread)
    }

    /// Waits for the thread's end. A second call returns at once.
    func join() {
        let thread = handle.withLock { handle -> pthread_t? in
            defer { handle = nil }
            return handle
        }
        if let thread { pthread_join(thread, nil) }
    }

    deinit {
        precondition(handle.withLock { $0 == nil }, "a thread must be joined before it is forgotten")
    }
}
