import Foundation
public import Rendering
public import Requests
public import Runtime
import TensorCore
public import Weights

/// One `render`: a coordinator in this process, workers as its children, and one thread for all events.
public final class RenderSession {
    private enum Event: Sendable {
        case job(JobEvent)
        /// The events of the picture with this number in the batch ended.
        case jobEnded(Int)
        case worker(WorkerPool.Report)
        case signal(Int32)
    }

    /// The name of the environment variable that carries the join token to workers.
    public static let tokenVariable = "PATCHLOOM_JOIN_TOKEN"
    /// The time for workers to leave. They need not finish a patch: the picture is finished or cancelled.
    private static let graceMilliseconds = 2000

    private let events: EventQueue<Event>
    private let coordinator: Coordinator
    private let pool: WorkerPool
    private let verbose: Bool
    /// The workers' lines about packed weights that were shown. All workers may say the same.
    private var shownLines: Set<String> = []
    /// Whether to show each picture's plan when it begins.
    public var tellsPlans = true

    /// Starts the coordinator, but no worker.
    ///
    /// - Parameters:
    ///   - arguments: make a worker open the model `source`.
    ///   - program: the path of `patchloom`, for the workers.
    public init(
        _ source: ModelSource, arguments: [String], loras: LoRAFolders.Resolved, layout: HostOptions.Layout, program: String,
        verbose: Bool
    ) throws {
        let events = try EventQueue<Event>()
        self.events = events
        self.verbose = verbose
        // A name in the abstract namespace needs no port and leaves no file. The token keeps other users out.
        let endpoint = "ipc://@patchloom-\(getpid())-\(Self.randomHex(8))"
        let token = Self.randomHex(32)
        var options = CoordinatorOptions(endpoint: endpoint, models: [source], joinToken: token, ownsItsWorkers: true)
        options.loras = loras.library
        coordinator = try Coordinator.start(options)
        let own = [
            "worker", "--connect", endpoint, "--threads", "\(layout.threads)", "--backend", layout.backend.rawValue,
            "--precision", layout.precision.rawValue, "--group", "\(layout.group)",
            "--packed-weights", layout.packedWeights, "--lifeline", "\(ChildProcess.lifelineDescriptor)",
        ]
        pool = try WorkerPool(
            program, count: layout.workers, arguments: own + arguments + loras.files.flatMap { ["--lora-file", $0] },
            environment: [Self.tokenVariable: token]
        ) { events.post(.worker($0)) }
    }

    /// Renders the pictures, one after the other. No worker is left when it returns or throws. To be called once.
    ///
    /// - Parameter done: called with the picture and its number in `requests`.
    public func render(
        _ requests: [RenderRequest], view: inout ProgressView,
        done: (Int, RenderResult, inout ProgressView) throws -> Void
    ) throws {
        defer {
            // Workers end when their coordinator says goodbye. They must not be replaced then.
            pool.expectEndings()
            coordinator.shutdown()
            pool.stop(graceMilliseconds: Self.graceMilliseconds)
            view.clear()
        }
        try SignalListener.start([SIGINT, SIGTERM, SIGHUP]) { [events] in events.post(.signal($0)) }
        try pool.start()
        for (number, request) in requests.enumerated() {
            let job = try coordinator.submit(request, model: nil)
            forward(job, number)
            try done(number, try follow(job, number, view: &view), &view)
        }
    }

    private func forward(_ job: RenderJob, _ number: Int) {
        let events = self.events
        Task {
            for await event in job.events { events.post(.job(event)) }
            events.post(.jobEnded(number))
        }
    }

    private func follow(_ job: RenderJob, _ number: Int, view: inout ProgressView) throws -> RenderResult {
        while true {
            switch events.next() {
            case .job(.started) where !tellsPlans: continue
            case .job(let event):
                if let result = try view.show(event) { return result }
            // The end of the last picture may come after its result.
            case .jobEnded(let ended) where ended != number: continue
            case .jobEnded: throw CommandFailure(.internalFault, "The job ended without a result.")
            case .worker(let report): try heard(report, view: &view)
            case .signal(let signal):
                job.cancel()
                throw SignalListener.stopped(by: signal)
            }
        }
    }

    private func heard(_ report: WorkerPool.Report, view: inout ProgressView) throws(CommandFailure) {
        switch report {
        case .line(let worker, let text):
            if verbose {
                view.note("worker \(worker): \(TerminalText.printable(text))")
            } else if text.hasPrefix(PackedWeights.notePrefix), shownLines.insert(text).inserted {
                view.note("warning: \(TerminalText.printable(text))")
            }
        case .replaced(let worker, let ending):
            let how = ending.signal == 0 ? "ended with code \(ending.code)" : "was killed by signal \(ending.signal)"
            view.note("worker \(worker) was lost (it \(how)); another takes its place")
        case .failed(let failure): throw failure
        }
    }

    private static func randomHex(_ bytes: Int) -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<2 * bytes).map { _ in String(UInt8.random(in: 0..<16, using: &generator), radix: 16) }.joined()
    }
}
