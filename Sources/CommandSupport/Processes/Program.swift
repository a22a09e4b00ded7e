public import ArgumentParser
import Glibc

/// The way from a command line to an exit code, for every program whose commands belong to `patchloom`.
public enum Program {
    /// Of the programs; the protocol between processes has its own.
    public static let version = "patchloom 0.1.0"

    /// Parses the command line as commands of `root` and runs the one that it names. One way out for every failure.
    ///
    /// - Parameter elsewhere: the program that does what the arguments ask for; nil where this one does.
    public static func run<Root: ParsableCommand>(
        _ root: Root.Type, elsewhere: ([String]) -> OwnProgram? = { _ in nil }
    ) -> Never {
        // A reader of our output that goes away must not end us before the workers are stopped; writes report it instead.
        signal(SIGPIPE, SIG_IGN)
        do {
            let arguments = Array(CommandLine.arguments.dropFirst())
            if let other = elsewhere(arguments) { try other.takeOver() }
            var command = try root.parseAsRoot(CommandLineSpelling.normalized(arguments))
            try command.run()
            exit(ExitStatus.done.rawValue)
        } catch {
            exit(report(error, root))
        }
    }

    /// Prints the failure as one line and gives back the exit code. Help and version are no failures.
    private static func report<Root: ParsableCommand>(_ error: any Error, _ root: Root.Type) -> Int32 {
        if let failure = error as? CommandFailure {
            writeFailure(failure.message)
            return failure.status.rawValue
        }
        // Thrown by commands whose failure has been told already.
        if let exit = error as? ExitCode { return exit.rawValue }
        let code = root.exitCode(for: error)
        if code == .success {
            print(root.fullMessage(for: error))
            return code.rawValue
        }
        guard code == .validationFailure else {
            writeFailure("\(error)")
            return ExitStatus.internalFault.rawValue
        }
        let message = root.message(for: error).split(separator: "\n").first.map(String.init) ?? "The command line is wrong."
        let sentence = message.hasSuffix(".") || message.hasSuffix("?") ? message : message + "."
        writeFailure("\(sentence) See 'patchloom help'.")
        return ExitStatus.usage.rawValue
    }

    private static func writeFailure(_ message: String) {
        writeAll(Array("patchloom: \(TerminalText.printable(message))\n".utf8), to: 2)
    }
}
