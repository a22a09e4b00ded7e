import ArgumentParser
import CommandSupport
import Foundation
import Requests
import Runtime
import TensorCore
import Weights

/// `patchloom worker`: computes patches for a coordinator.
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "Compute patches for a coordinator, until stopped by SIGTERM or Ctrl-C.")

    @Option(help: ArgumentHelp("The coordinator: tcp://HOST:PORT or ipc://PATH.", valueName: "address"))
    var connect: String

    @OptionGroup(title: "Model") var checkpoint: ModelOptions
    @OptionGroup(title: "LoRA") var loras: LoRAOptions

    @Option(parsing: .unconditionalSingleValue, help: ArgumentHelp("A LoRA file.", valueName: "file", visibility: .hidden))
    var loraFile: [String] = []

    @Option(parsing: .unconditional, help: ArgumentHelp("Threads to compute with (default: one a core).", valueName: "count"))
    var threads: Int?

    @Option(
        help: ArgumentHelp("The library that multiplies matrices: \(choiceList(BackendChoice.self)).", valueName: "backend"))
    var backend = "auto"

    @Option(
        help: ArgumentHelp("f32, bf16, or auto for bf16 where the CPU is faster with it.", valueName: "precision"))
    var precision = "auto"

    @OptionGroup var groups: GroupOptions

    @OptionGroup var packing: PackedWeightsOptions

    @Option(
        help: ArgumentHelp(
            "How the coordinator's log calls this worker (default: host name and process number).", valueName: "name"))
    var name: String?

    @OptionGroup(title: "Access") var access: AccessOptions

    @Option(help: ArgumentHelp("A descriptor whose hang-up ends the worker.", valueName: "descriptor", visibility: .hidden))
    var lifeline: Int32?

    func run() throws {
        let threads = try HostOptions.threads(threads)
        let processors = HostProcessors.processors
        if threads > processors {
            logLine("warning: \(threads) threads exceed the \(processors) processors here; fewer are faster")
        }
        if threads > 1, let fault = Main.waitingFault {
            logLine(
                "warning: waiting threads keep their cores busy, because the program could not be started again with another "
                    + "setting (\(fault)); start it with OMP_WAIT_POLICY=passive in the environment")
        }
        var options = WorkerOptions(
            endpoint: connect, models: try checkpoint.words.sources(), backend: try HostOptions.choice(backend),
            threads: threads, joinToken: try access.token(), lifelineFD: lifeline,
            name: name ?? "\(ProcessInfo.processInfo.hostName)-\(getpid())", log: logLine)
        options.digests = .standard
        options.precision = try HostOptions.choice(precision: precision)
        options.group = try groups.checked()
        options.packedWeights = try packing.setting()
        if let note = try packing.note() { logLine("warning: \(note)") }
        _ = try HostOptions.settled(options.precision, options.backend)
        if let note = options.precision.note(options.backend) { logLine("warning: \(note)") }
        options.loras = try loras.folders.library(files: loraFile)
        let code = WorkerProcess.run(options)
        if code != 0 { throw ExitCode(code) }
    }
}

/// The secret that lets workers and clients join a coordinator.
struct AccessOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file with the secret that coordinator, workers and clients share (or set \(RenderSession.tokenVariable)).",
            valueName: "file"))
    var joinTokenFile: String?

    /// The shared secret; nil without one. It is never on the command line, which others can read.
    func token() throws(CommandFailure) -> String? {
        guard let joinTokenFile else {
            let token = ProcessInfo.processInfo.environment[RenderSession.tokenVariable]
            guard token?.isEmpty != true else {
                throw CommandFailure(.usage, "\(RenderSession.tokenVariable) is empty; put the secret into it, or unset it.")
            }
            return token
        }
        guard let bytes = FileManager.default.contents(atPath: joinTokenFile), bytes.count <= 4096 else {
            throw CommandFailure(.notFound, "\(joinTokenFile) cannot be read; --join-token-file names a small text file.")
        }
        guard let token = PromptFile.decoded(Array(bytes))?.trimmingCharacters(in: .whitespacesAndNewlines) else {
            throw CommandFailure(.usage, "\(joinTokenFile) is not UTF-8; save it as UTF-8.")
        }
        guard !token.isEmpty else { throw CommandFailure(.usage, "\(joinTokenFile) is empty; put the secret into it.") }
        return token
    }
}

/// A line of a coordinator's or worker's log on standard error.
@Sendable func logLine(_ line: String) { writeError("\(TerminalText.printable(line))\n") }
