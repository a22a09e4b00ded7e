import ArgumentParser
import Foundation
import TensorCore

/// The program's entry: spelling, parsing, running, and one way out for every failure.
@main
struct Main {
    /// Why threads wait longer than they should; nil where they do not. See `WaitingPolicy`.
    static let waitingFault = WaitingPolicy.settle(program: "patchloom")

    static func main() {
        // First of all, because the program may begin again there.
        _ = waitingFault
        // A reader of our output that goes away must not end us before the workers are stopped; writes report it instead.
        signal(SIGPIPE, SIG_IGN)
        exit(run(CommandLineSpelling.normalized(Array(CommandLine.arguments.dropFirst()))))
    }

    private static func run(_ arguments: [String]) -> Int32 {
        do {
            var command = try Patchloom.parseAsRoot(arguments)
            try command.run()
            return ExitStatus.done.rawValue
        } catch {
            return report(error)
        }
    }

    /// Prints the failure as one line and gives back the exit code. Help and version are no failures.
    private static func report(_ error: any Error) -> Int32 {
        if let failure = error as? CommandFailure {
            writeFailure(failure.message)
            return failure.status.rawValue
        }
        // Thrown by commands whose failure has been told already.
        if let exit = error as? ExitCode { return exit.rawValue }
        let code = Patchloom.exitCode(for: error)
        if code == .success {
            print(Patchloom.fullMessage(for: error))
            return code.rawValue
        }
        guard code == .validationFailure else {
            writeFailure("\(error)")
            return ExitStatus.internalFault.rawValue
        }
        let message =
            Patchloom.message(for: error).split(separator: "\n").first.map(String.init) ?? "The command line is wrong."
        let sentence = message.hasSuffix(".") || message.hasSuffix("?") ? message : message + "."
        writeFailure("\(sentence) See 'patchloom help'.")
        return ExitStatus.usage.rawValue
    }

    private static func writeFailure(_ message: String) {
        writeAll(Array("patchloom: \(TerminalText.printable(message))\n".utf8), to: 2)
    }
}

/// The program and its commands.
struct Patchloom: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patchloom",
        abstract: "Renders pictures far larger than a diffusion model was trained for, with many CPU workers.",
        discussion: "In the names of long options '_' and '-' are the same. Exit codes are listed in README.md.",
        version: "patchloom \(programVersion)",
        subcommands: [
            RenderCommand.self, CoordinatorCommand.self, WorkerCommand.self, SubmitCommand.self, PlanCommand.self,
            CompareCommand.self, ModelCommand.self,
        ])
}

/// Of the program; the protocol between processes has its own.
let programVersion = "0.1.0"

/// Text from outside on its way to a terminal.
enum TerminalText {
    /// One line without control characters, which could move the cursor or worse.
    static func printable(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: result.append(" ")
            default: result.append(scalar)
            }
        }
        return String(result)
    }
}
