internal import Cluster
internal import Messages
import Sentences
internal import Synchronization
internal import ZMQSockets

/// A coordinator in this process. It plans jobs, hands their tasks to workers, and merges the results. One thread owns the
/// sockets and the cluster's state; others plan and merge, each one job at a time.
public final class Coordinator: Sendable {
    private let mailbox: Mailbox<CoordinatorCommand>
    private let thread: OSThread
    let factory: any JobEngineFactory
    private let workers: SharedCount

    init(_ options: CoordinatorOptions, factory: any JobEngineFactory) throws(RuntimeError) {
        try PeerTexts.check(joinToken: options.joinToken)
        self.factory = factory
        let mailbox = try Mailbox<CoordinatorCommand>()
        let workers = SharedCount()
        let started = try Mailbox<Result<Void, RuntimeError>>()
        self.mailbox = mailbox
        self.workers = workers
        thread = try OSThread(named: "pl-coordinator") {
            do throws(RuntimeError) {
                // The loop and its socket are gone when the function returns. Only then may the context go.
                try CoordinatorLoop.main(options, factory, mailbox, workers) { started.post(.success(())) }.terminate()
            } catch {
                mailbox.closeForPosting()
                started.post(.failure(error))
            }
        }
        if case .failure(let error) = started.wait()[0] {
            thread.join()
            throw error
        }
    }

    func submit(_ engine: any JobEngine) throws(RuntimeError) -> RenderJob {
        let id = UniqueID.random()
        // Old progress may be lost if nobody reads. The newest events, and so the last one, are always kept.
        let (stream, continuation) = AsyncStream.makeStream(of: JobEvent.self, bufferingPolicy: .bufferingNewest(256))
        guard mailbox.offer(.submit(id, engine, continuation)) else {
            throw RuntimeError(.temporary, "The coordinator has stopped or is overloaded; try again later.")
        }
        let mailbox = self.mailbox
        return RenderJob(id: id.hex, events: stream) { mailbox.post(.cancel(id)) }
    }

    /// Connected workers that take work.
    public var workerCount: Int { workers.value }

    /// Ends all jobs, says goodbye to workers and clients, and waits for that. Workers of this program end; others look for a
    /// coordinator at the address again. May be called more than once.
    public func shutdown() {
        mailbox.post(.shutdown)
        thread.join()
    }

    /// Ends the coordinator as a broken socket would. For tests.
    func breakDown(_ error: RuntimeError) { mailbox.post(.fail(error)) }

    deinit { shutdown() }
}

/// A number that one thread writes and others read.
final class SharedCount: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int {
        get { count.load(ordering: .relaxed) }
        set { count.store(newValue, ordering: .relaxed) }
    }
}

/// Commands of other threads to the coordinator's I/O thread.
enum CoordinatorCommand: Sendable {
    case submit(UniqueID, any JobEngine, AsyncStream<JobEvent>.Continuation)
    case cancel(UniqueID)
    case job(JobThreads.Report)
    case fail(RuntimeError)
    case shutdown
}
