internal import Synchronization

/// A worker on threads of this process, with any engine: for tests, and for programs that need no isolation.
final class InProcessWorker: Sendable {
    private let mailbox: Mailbox<WorkerCommand>
    private let thread: OSThread
    private let box: EndingBox

    /// Starts working.
    /// - Throws: `RuntimeError` when there is no thread left; a wrong address is told by `wait`.
    init(_ options: WorkerOptions, makeEngine: @escaping TaskEngineMaker) throws(RuntimeError) {
        let mailbox = try Mailbox<WorkerCommand>()
        let box = EndingBox()
        self.mailbox = mailbox
        self.box = box
        thread = try OSThread(named: "pl-worker") {
            do throws(RuntimeError) {
                let life = try WorkerLoop.main(options, mailbox, makeEngine: makeEngine)
                life.compute.stop()
                box.ending.withLock { $0 = life.ending }
            } catch {
                box.ending.withLock { $0 = .failed(error) }
            }
        }
    }

    /// Asks it to finish its call and end, as SIGTERM does.
    func terminate() { mailbox.post(.terminate) }

    /// Waits for its end.
    func wait() -> WorkerLoop.Ending {
        thread.join()
        return box.ending.withLock { $0 } ?? .drained
    }

    deinit {
        terminate()
        thread.join()
    }
}

private final class EndingBox: Sendable {
    let ending = Mutex<WorkerLoop.Ending?>(nil)
}
