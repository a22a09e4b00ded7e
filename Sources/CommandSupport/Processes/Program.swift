public import ArgumentParser
import Glibc

/// The way from a command line to an exit code, for every program with commands of `patchloom`.
public enum Program {
    /// The version of the programs. The protocol between processes has its own.
    public static let version = "patchloom 0.1.0"

    /// Parses the command line as commands of `root` and runs the named one. All failures end here.
    ///
    /// - Parameter elsewhere: the program that runs these arguments; nil for this one.
    public static func run<Root: ParsableCommand>(
        _ root: Root.Type, elsewhere: ([String]) -> OwnProgram? = { _ in nil }
    ) -> Never {
        // If the reader of our output goes away, writes report it: the signal would end us before the workers stop.
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

    /// Prints the failure in one line and returns the exit code. Help and version are no failures.
    private static func report<Root: ParsableCommand>(_ error: any Error, _ root: Root.Type) -> Int32 {
        if let failure = (error as? any CommandError)?.failure {
            writeFailure(failure.message)
            return failure.status.rawValue
        }
        // Commands throw this after they have reported their failure.
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

    private static func writeFailure(_ message: String) { writeError("patchloom: \(TerminalText.printable(message))\n") }
}
