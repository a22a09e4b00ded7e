import ArgumentParser
import CommandSupport
import TensorCore

/// The program's entry.
@main
struct Main {
    /// The reason why threads wait longer than necessary; nil if they do not. See `WaitingPolicy`.
    static let waitingFault = WaitingPolicy.settle(program: OwnProgram.patchloom.rawValue)

    static func main() {
        // This comes first, because the program may start again here.
        _ = waitingFault
        Program.run(Patchloom.self) { arguments in
            // Its help is there too.
            let words = arguments.first == "help" ? arguments.dropFirst() : arguments[...]
            return words.first == CompareCommand.name ? .compare : nil
        }
    }
}

/// The program and its commands.
struct Patchloom: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom",
        abstract: "Renders pictures far larger than a diffusion model was trained for, with many CPU workers.",
        discussion: "In the names of long options '_' and '-' are the same. Exit codes are listed in README.md.",
        version: Program.version,
        subcommands: [
            RenderCommand.self, CoordinatorCommand.self, WorkerCommand.self, SubmitCommand.self, PlanCommand.self,
            CompareCommand.self, ModelCommand.self,
        ])
}
