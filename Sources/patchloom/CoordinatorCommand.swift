import ArgumentParser
import Foundation
import Runtime

/// `patchloom coordinator`: takes jobs from `submit` and hands their patches to workers.
struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coordinator",
        abstract: "Plan pictures and hand their patches to workers, until stopped by SIGTERM or Ctrl-C.")

    @Option(help: ArgumentHelp("Where workers and clients connect: tcp://HOST:PORT or ipc://PATH.", valueName: "address"))
    var listen = "tcp://127.0.0.1:5570"

    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "Access") var access: AccessOptions

    func run() throws {
        let source = try checkpoint.source()
        let token = try access.token()
        let signals = try EventQueue<Int32>()
        try SignalListener.start([SIGINT, SIGTERM]) { signals.post($0) }
        let coordinator: Coordinator
        do {
            coordinator = try Coordinator.start(
                CoordinatorOptions(endpoint: listen, models: [source], joinToken: token, log: logLine))
        } catch {
            throw CommandFailure(error)
        }
        logLine("listening on \(listen)")
        if token == nil && !isLocal {
            logLine("warning: whoever reaches \(listen) can join; share a secret by --join-token-file")
        }
        var signal: Int32?
        while signal == nil { signal = signals.next() }
        logLine("stopping")
        coordinator.shutdown()
    }

    /// Whether only this host can connect.
    private var isLocal: Bool {
        listen.hasPrefix("ipc://") || ["tcp://127.", "tcp://localhost:", "tcp://[::1]:"].contains { listen.hasPrefix($0) }
    }
}
