internal import Synchronization

/// A worker on threads of this process, with any engine: for tests, and for programs that need no isolation.
package final class InProcessWorker: Sendable {
    /// How it ended.
    package enum Ending: Sendable, Equatable {
        case drained
        case failed(RuntimeError)
        case orphaned
    }

    private let mailbox: Mailbox<WorkerCommand>
    private let thread: OSThread
    private let box: EndingBox

    /// Starts working.
    /// - Throws: `RuntimeError` when there is no thread left; a wrong address is told by `wait`.
    package init(
        _ options: WorkerOptions, makeEngine: @escaping @Sendable () throws(RuntimeError) -> any TaskEngine
    ) throws(RuntimeError) {
        let mailbox = try Mailbox<WorkerCommand>()
        let box = EndingBox()
        self.mailbox = mailbox
        self.box = box
        thread = try OSThread(named: "pl-worker") {
            do throws(RuntimeError) {
                let life = try WorkerLoop.main(options, mailbox, makeEngine: makeEngine)
                life.compute.stop()
                switch life.ending {
                case .drained: box.ending.withLock { $0 = .drained }
                case .failed(let error): box.ending.withLock { $0 = .failed(error) }
                case .orphaned: box.ending.withLock { $0 = .orphaned }
                }
            } catch {
                box.ending.withLock { $0 = .failed(error) }
            }
        }
    }

    /// Asks it to finish its task and end, as SIGTERM does.
    package func terminate() { mailbox.post(.terminate) }

    /// Waits for its end.
    package func wait() -> Ending {
        thread.join()
        return box.ending.withLock { $0 } ?? .drained
    }

    deinit {
        terminate()
        thread.join()
    }
}

private final class EndingBox: Sendable {
    let ending = Mutex<InProcessWorker.Ending?>(nil)
}
