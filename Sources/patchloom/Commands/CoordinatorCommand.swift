import ArgumentParser
import CommandSupport
import Foundation
import Requests
import Runtime
import Weights

/// `patchloom coordinator`: takes jobs from `submit` and hands their patches to workers.
struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Plan pictures and hand their patches to workers, until stopped by SIGTERM or Ctrl-C.")

    @Option(help: ArgumentHelp("Where workers and clients connect: tcp://HOST:PORT or ipc://PATH.", valueName: "address"))
    var listen = "tcp://127.0.0.1:5570"

    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions
    @OptionGroup(title: "Access") var access: AccessOptions

    func run() throws {
        let sources = try checkpoint.words.sources()
        let token = try access.token()
        let events = try EventQueue<Event>()
        try SignalListener.start([SIGINT, SIGTERM]) { _ in events.post(.signal) }
        var options = CoordinatorOptions(endpoint: listen, models: sources, joinToken: token, log: logLine)
        options.loras = try loras.folders.library()
        // Names are a convenience: without a place for a store there are none.
        options.store = try? ModelStore.standard()
        options.onFailure = { events.post(.failed($0)) }
        let coordinator = try Coordinator.start(options)
        logLine("listening on \(listen)")
        for line in DigestMemory.standard.tally.lines { logLine(line) }
        if token == nil && !isLocal {
            logLine("warning: whoever reaches \(listen) can join; share a secret by --join-token-file")
        }
        defer { coordinator.shutdown() }
        switch events.next() {
        case .signal: logLine("stopping")
        case .failed(let error): throw error
        }
    }

    private enum Event: Sendable {
        case signal
        /// The coordinator ended by itself.
        case failed(RuntimeError)
    }

    /// Whether only this host can connect.
    private var isLocal: Bool {
        listen.hasPrefix("ipc://") || ["tcp://127.", "tcp://localhost:", "tcp://[::1]:"].contains { listen.hasPrefix($0) }
    }
}
