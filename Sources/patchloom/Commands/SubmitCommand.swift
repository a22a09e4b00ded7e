import ArgumentParser
import CommandSupport
import Foundation
import Rendering
import Requests
import Runtime
import Synchronization

/// `patchloom submit`: renders on a coordinator elsewhere.
struct SubmitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "submit", abstract: "Have a coordinator render a picture.")

    @Option(help: ArgumentHelp("The coordinator: tcp://HOST:PORT or ipc://PATH.", valueName: "address"))
    var coordinator = "tcp://127.0.0.1:5570"

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "A model of the coordinator by its name or its identity (default: the coordinator's first).", valueName: "model"))
    var model: String?

    @OptionGroup(title: "Picture") var picture: RequestOptions
    @OptionGroup(title: "Output") var output: OutputOptions
    @OptionGroup(title: "Access") var access: AccessOptions

    func run() throws {
        let request = try picture.request()
        if let path = request.loras.first(where: { $0.name.hasPrefix("/") || $0.name.hasPrefix(".") })?.name {
            throw CommandFailure(
                .usage,
                "--lora \(path) is a path; name a LoRA in the coordinator's folder of --lora-model-dir, such as ink:0.8.")
        }
        let batch = try Batch(request, count: output.batchCount, output: output)
        var view = ProgressView(quiet: output.quiet)
        if picture.seed == .random { view.note("seed \(request.seed)") }
        if let model, !(1...256).contains(model.utf8.count) {
            throw CommandFailure(.usage, "--model must be a name or an identity, of at most 256 bytes.")
        }
        let session = try SubmitSession(coordinator: coordinator, model: model, token: try access.token())
        try session.listenToSignals()
        for item in batch.items {
            try item.finish(session.run(item.request, view: &view), output, view: &view)
        }
    }
}

/// One `submit`: the client's blocking call on its own thread, signals and progress here.
private final class SubmitSession: Sendable {
    private enum Event: Sendable {
        case job(JobEvent)
        case ended(Result<RenderResult, RuntimeError>)
        case signal(Int32)
    }

    private let coordinator: String
    private let model: String?
    private let token: String?
    private let events: EventQueue<Event>
    private let isCancelled = Atomic(false)

    init(coordinator: String, model: String?, token: String?) throws(CommandFailure) {
        (self.coordinator, self.model, self.token) = (coordinator, model, token)
        events = try EventQueue()
    }

    /// Lets signals stop the current picture. To be called once, before the first.
    func listenToSignals() throws(CommandFailure) {
        try SignalListener.start([SIGINT, SIGTERM]) { [self] signal in
            isCancelled.store(true, ordering: .relaxed)
            events.post(.signal(signal))
        }
    }

    func run(_ request: RenderRequest, view: inout ProgressView) throws -> RenderResult {
        Thread.detachNewThread { [self] in events.post(.ended(rendered(request))) }
        var stoppedBy: Int32?
        while true {
            switch events.next() {
            case .job(let event): _ = try view.show(event)
            case .signal(let signal): stoppedBy = stoppedBy ?? signal
            case .ended(let result):
                if let stoppedBy { throw SignalListener.stopped(by: stoppedBy) }
                return try result.get()
            }
        }
    }

    private func rendered(_ request: RenderRequest) -> Result<RenderResult, RuntimeError> {
        Result { () throws(RuntimeError) in
            try SubmitClient.render(
                coordinator: coordinator, request: request, model: model, joinToken: token,
                onEvent: { events.post(.job($0)) }, isCancelled: { [self] in isCancelled.load(ordering: .relaxed) })
        }
    }
}
